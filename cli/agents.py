"""Which coding agent wrote a commit: by its author, or by a `Co-authored-by` trailer."""

import re
from collections.abc import Sequence

from cli.git_log import Commit, Person

HUMAN = "human"

# Agents by the names and addresses they sign with, tried on "name <email>". Several of these are people's first names
# too, so a bare name counts only where no person is called that; for the rest it takes the agent's own address. Not
# that of its maker: people who work there commit too.
AGENTS: dict[str, str] = {
    "claude": r"<(noreply|claude)@anthropic\.com>|^claude (code|opus|sonnet|haiku)\b|^claude\[bot\]|\+claude\[bot\]@"
    r"|\banthropic-code-agent\b",
    "copilot": r"^copilot(\[bot\])? <|copilot-swe-agent|\+copilot@users\.noreply\.github\.com>|<copilot@github\.com>",
    "cursor": r"cursoragent|^cursor( agent)? <|^cursor\[bot\]|<(noreply|agent|cursor)@cursor\.(com|sh)>",
    "devin": r"devin-ai-integration|<(noreply|devin)@(devin|cognition)\.ai>|^devin ai\b",
    "codex": r"\bopenai-code-agent\b|^(openai )?codex( |\[bot\]|-cli)|<(noreply|codex)@openai\.com>",
    "jules": r"google-labs-jules|\bjules@google\.com>",
    "amp": r"<(noreply|amp)@ampcode\.com>|@sourcegraph\.com> *amp|^amp <",
    "aider": r"@aider\.chat>|\(aider\)|^aider\b",
    "openhands": r"<(noreply|openhands)@(all-hands|openhands)\.dev>|^openhands\b",
    "opencode": r"<(noreply|opencode)@opencode\.ai>|^opencode(-agent)?( |\[bot\])|\+opencode-agent\[bot\]@",
    "windsurf": r"\bwindsurf-bot\b|^windsurf( ai| agent)? <",
    "junie": r"<junie@jetbrains\.com>|^junie-agent\b|\+junie-agent@",
    "droid": r"\bfactory-droid\b",
    "kiro": r"<(noreply|kiro|agent)@kiro\.dev>|^kiro-agent\b",
    "warp": r"<(oz-)?agent@warp\.dev>",
    "crush": r"<crush@charm\.(land|sh)>",
    "qwen": r"\bqwen-coder\b",
    "amazon-q": r"\bamazon-q-developer\b",
    "roo": r"\broomote\b",
    "cline": r"^cline\[bot\]|\+cline\[bot\]@|<noreply@cline\.bot>",
    "continue": r"^continue\[bot\]|\+continue\[bot\]@|<noreply@continue\.dev>",
    "sweep": r"\bsweep-(ai|nightly|canary)\[bot\]",
    "lovable": r"\b(lovable-dev|gpt-engineer-app)\[bot\]",
    "v0": r"^v0(\[bot\])? <|\bv0\[bot\]@",
    "gemini": r"gemini-cli|^gemini( cli)? <.*google\.com>|<gemini@google\.com>",
    "dependabot": r"^dependabot\b|\+dependabot(-preview)?\[bot\]@",
    "renovate": r"^renovate(\[bot\]|-bot)? <|@renovateapp\.com>|\+renovate\[bot\]@|^(self-hosted )?renovate bot\b",
}
# They review, format or merge, and co-sign what others wrote.
REVIEWERS = (
    r"coderabbit|sourcery|greptile|codecov|graphite|github-actions|autofix[-.]ci|pre-commit-ci|gemini-code-assist|qodo"
    r"|copilot-pull-request-reviewer|chatgpt-codex-connector|cubic-dev|ellipsis-dev|korbit"
    r"|deepsource|sonarcloud|codefactor|mergify|bors|semantic-release|allcontributors|cursor-?bugbot|claude-review"
)

_AGENTS = {agent: re.compile(pattern, re.I) for agent, pattern in AGENTS.items()}
_REVIEWERS = re.compile(rf"\b(?:{REVIEWERS})", re.I)


def agent_of(commit: Commit, others: re.Pattern[str] | None = None) -> str:
    """The agent's id, or `human`. The author outranks the trailers, the first trailer the later ones.

    `others` finds further agents; its group `agent`, else its first group, else the whole match becomes the id.
    """
    signatures = [f"{person.name} <{person.email}>" for person in signers(commit)]
    return next((agent for signature in signatures if (agent := _signed_by(signature, others))), HUMAN)


def signers(commit: Commit) -> Sequence[Person]:
    return [commit.author, *commit.co_authors]


def _signed_by(signature: str, others: re.Pattern[str] | None) -> str | None:
    if others and (match := others.search(signature)):
        named = match.groupdict().get("agent") or next(iter(match.groups()), None) or match[0]
        return re.sub(r"[^a-z0-9._-]+", "-", named.lower()).strip("-") or None
    if _REVIEWERS.search(signature):
        return None
    return next((agent for agent, pattern in _AGENTS.items() if pattern.search(signature)), None)
