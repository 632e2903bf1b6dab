"""Who wrote a commit."""

import re
from datetime import UTC, datetime

import pytest

from cli.agents import agent_of
from cli.git_log import Commit, Person


def commit(author: str, *trailers: str) -> Commit:
    name, email = author.removesuffix(">").split(" <")
    message = "\n".join(["feat: a thing", "", *(f"Co-authored-by: {trailer}" for trailer in trailers)])
    return Commit("a" * 40, datetime(2026, 1, 1, tzinfo=UTC), Person(name, email), message, b"")


@pytest.mark.parametrize(
    ("signature", "agent"),
    [
        ("Claude <noreply@anthropic.com>", "claude"),
        ("anthropic-code-agent[bot] <242468646+Claude@users.noreply.github.com>", "claude"),
        ("openai-code-agent[bot] <242516109+Codex@users.noreply.github.com>", "codex"),
        ("Harbors Claude Code <noreply@anthropic.com>", "claude"),
        ("Claude Opus 4.5 (1M context) <noreply@anthropic.com>", "claude"),
        ("copilot-swe-agent[bot] <198982749+Copilot@users.noreply.github.com>", "copilot"),
        ("Cursor Agent <cursoragent@cursor.com>", "cursor"),
        ("devin-ai-integration[bot] <158243242+devin-ai-integration[bot]@users.noreply.github.com>", "devin"),
        ("Codex <codex@openai.com>", "codex"),
        ("google-labs-jules[bot] <161369871+google-labs-jules[bot]@users.noreply.github.com>", "jules"),
        ("Amp <amp@ampcode.com>", "amp"),
        ("aider (gpt-4o) <aider@aider.chat>", "aider"),
        ("openhands <openhands@all-hands.dev>", "openhands"),
        ("opencode <noreply@opencode.ai>", "opencode"),
        ("windsurf-bot[bot] <189301087+windsurf-bot[bot]@users.noreply.github.com>", "windsurf"),
        ("Junie <junie@jetbrains.com>", "junie"),
        ("factory-droid[bot] <138933559+factory-droid[bot]@users.noreply.github.com>", "droid"),
        ("Warp <agent@warp.dev>", "warp"),
        ("Crush <crush@charm.land>", "crush"),
        ("Qwen-Coder <qwen-coder@alibabacloud.com>", "qwen"),
        ("Roomote <roomote@roocode.com>", "roo"),
        ("amazon-q-developer[bot] <208079219+amazon-q-developer[bot]@users.noreply.github.com>", "amazon-q"),
        ("gemini-cli[bot] <218195315+gemini-cli[bot]@users.noreply.github.com>", "gemini"),
        ("dependabot[bot] <49699333+dependabot[bot]@users.noreply.github.com>", "dependabot"),
        ("renovate[bot] <29139614+renovate[bot]@users.noreply.github.com>", "renovate"),
    ],
)
def test_an_agent_is_known_as_author_and_as_co_author(signature: str, agent: str) -> None:
    assert agent_of(commit(signature)) == agent
    assert agent_of(commit("Ada <ada@example.org>", "Bob <bob@example.org>", signature)) == agent


@pytest.mark.parametrize(
    "signature",
    [
        "coderabbitai[bot] <136622811+coderabbitai[bot]@users.noreply.github.com>",
        "gemini-code-assist[bot] <176961590+gemini-code-assist[bot]@users.noreply.github.com>",
        "copilot-pull-request-reviewer[bot] <175728472+Copilot@users.noreply.github.com>",
        "github-actions[bot] <41898282+github-actions[bot]@users.noreply.github.com>",
        "pre-commit-ci[bot] <66853113+pre-commit-ci[bot]@users.noreply.github.com>",
    ],
)
def test_a_reviewer_that_co_signs_is_not_the_author(signature: str) -> None:
    assert agent_of(commit("Ada <ada@example.org>", signature)) == "human"


@pytest.mark.parametrize(
    "person",
    [
        "Claude Dupont <claude@dupont.fr>",
        "Devin Smith <devin@example.org>",
        "Junie Moon <junie@example.org>",
        "Grace <grace@anthropic.com>",
        "Grace <grace@all-hands.dev>",
        "Grace <grace@openai.com>",
        "Warp <warp@example.org>",
        "Jules <jules@verne.fr>",
        "Ampère <a@b.fr>",
        "Copilot Jones <copilot@example.org>",
        "Renovate Smith <renovate@example.org>",
    ],
)
def test_people_who_share_a_first_name_with_an_agent_stay_human(person: str) -> None:
    assert agent_of(commit(person)) == "human"


def test_the_author_outranks_the_trailers_and_the_first_trailer_the_later_ones() -> None:
    claude, cursor = "Claude <noreply@anthropic.com>", "Cursor <cursoragent@cursor.com>"
    assert agent_of(commit(cursor, claude)) == "cursor"
    assert agent_of(commit("Ada <a@b.org>", claude, cursor)) == "claude"


def test_a_pattern_finds_other_agents_and_names_them() -> None:
    bot = commit("Acme Fixer[bot] <fixer@acme.example>")
    assert agent_of(bot, re.compile(r"(?P<agent>acme fixer)", re.I)) == "acme-fixer"
    assert agent_of(bot, re.compile(r"<(\w+)@acme")) == "fixer"
    assert agent_of(bot, re.compile("nobody")) == "human"
