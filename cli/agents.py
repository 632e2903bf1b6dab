"""Which coding agent wrote a commit: by its author, or by a `Co-authored-by` trailer."""

import re
from collections.abc import Sequence

from cli.git_log import Commit, Person

HUMAN = "human"

# Agents by the names and addresses they sign with, tried on "name <email>". Several of these are people's first names
# too, so a bare name counts only where no person is called that; for the rest it takes the agent's own address.
AGENTS: dict[str, str] = {
    "claude": r"@anthropic\.com>|^claude (code|opus|sonnet|haiku)\b|^claude\[bot\]|\+claude\[bot\]@",
    "copilot": r"^copilot\b|copilot-swe-agent|\+copilot@users\.noreply\.github\.com>|<copilot@github\.com>",
    "cursor": r"cursoragent|^cursor( agent)? <|^cursor\[bot\]|@cursor\.(com|sh)>",
    "devin": r"devin-ai-integration|@(devin|cognition)\.ai>|^devin ai\b",
    "codex": r"^(openai )?codex( |\[bot\]|-cli)|codex@openai\.com|@openai\.com>",
    "jules": r"google-labs-jules|\bjules@google\.com>",
    "amp": r"@ampcode\.com>|@sourcegraph\.com> *amp|^amp <",
    "aider": r"@aider\.chat>|\(aider\)|^aider\b",
    "openhands": r"@all-hands\.dev>|@openhands\.dev>|^openhands\b",
    "gemini": r"gemini-cli|^gemini( cli)? <.*google\.com>|<gemini@google\.com>",
    "dependabot": r"^dependabot\b|\+dependabot(-preview)?\[bot\]@",
    "renovate": r"^renovate\b|@renovateapp\.com>|\+renovate\[bot\]@|^(self-hosted )?renovate bot\b",
}
# They review, format or merge, and co-sign what others wrote.
REVIEWERS = (
    r"coderabbit|sourcery|greptile|codecov|graphite|github-actions|autofix[-.]ci|pre-commit-ci|gemini-code-assist|qodo"
    r"|copilot-pull-request-reviewer|chatgpt-codex-connector|cubic-dev|ellipsis-dev|korbit"
    r"|deepsource|sonarcloud|codefactor|mergify|bors|semantic-release|allcontributors|cursor-?bugbot|claude-review"
)

_AGENTS = {agent: re.compile(pattern, re.I) for agent, pattern in AGENTS.items()}
_REVIEWERS = re.compile(REVIEWERS, re.I)


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
