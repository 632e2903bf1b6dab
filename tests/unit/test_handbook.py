"""The handbook: what stands in it, in which order, and that nothing quoted in it can pose as more."""

import re
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from services.gateway.handbook import BODY_CHARACTERS, MOST_DOMAINS, SHOWN_PATTERNS, handbook, inline, quoted, visible
from services.gateway.knowledge_views import HandbookLearning, HandbookPattern

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECTION = re.compile(r"^## (.*)$", re.M)


def learning(domain: str | None = "auth", **fields: Any) -> HandbookLearning:
    plain: dict[str, Any] = {
        "all": 1, "id": UUID(int=1), "title": "Accept a missing token", "body": "Return early.", "agent_id": "claude",
        "category": "bug-fix", "uses": 0, "successes": 0, "interval": None, "updated_at": AT,
    }  # fmt: skip
    return HandbookLearning(domain=domain, **plain | fields)


def pattern(*domains: str, **fields: Any) -> HandbookPattern:
    plain: dict[str, Any] = {
        "id": UUID(int=2), "label": "bug-fix in src/auth.py", "category": "bug-fix", "support": 7, "succeeded": 3,
        "failed": 1, "interval": (0.3, 0.95), "example_title": "fix: no token", "example_repository": "acme/shop",
        "changed_at": AT,
    }  # fmt: skip
    return HandbookPattern(domains=list(domains), **plain | fields)


def test_each_domain_tells_its_learnings_and_patterns_with_how_they_fared() -> None:
    text = handbook(
        [learning(uses=4, successes=3, interval=(0.301, 0.954)), learning(None, title="Anywhere")], [pattern("auth")]
    )
    assert SECTION.findall(text) == ["auth", "Without a domain"]
    assert "### Accept a missing token\n\nbug-fix; 3 of 4 held (75%, 95 % interval 30% to 95%)" in text
    assert "```text\nReturn early.\n```" in text
    assert "- **bug-fix in src/auth.py**: 7 fixes; 3 of 4 held" in text
    assert "such as “fix: no token” in acme/shop" in text
    assert "As of 2026-03-01T12:00:00+00:00." in text
    assert "no outcome known yet" in text.split("Without a domain")[1]


def test_an_empty_memory_says_so() -> None:
    assert "Nothing has been learned yet." in handbook([], [])
    assert "As of" not in handbook([], [])


def test_one_domain_can_be_asked_for() -> None:
    text = handbook([learning("auth")], [pattern("auth", "db"), pattern("db")], "auth")
    assert SECTION.findall(text) == ["auth"]
    assert text.count("7 fixes") == 1


def test_what_is_left_out_is_told() -> None:
    many = [learning(f"d{n}", all=12) for n in range(MOST_DOMAINS + 5)]
    text = handbook(many, [pattern("d0") for _ in range(SHOWN_PATTERNS + 2)])
    assert len(SECTION.findall(text)) == MOST_DOMAINS
    assert "5 more domains" in text
    assert "11 more learnings of this domain" in text
    assert "2 more patterns of this domain" in text
    assert len(handbook([learning(body="x" * 20_000)], [])) < BODY_CHARACTERS + 1500


HOSTILE = st.text(st.characters(codec="utf-8") | st.sampled_from("`#\n*<>[]()\r\u2028\u202e-~|\\_!"), max_size=80)


@given(HOSTILE, HOSTILE, HOSTILE, HOSTILE)
def test_nothing_quoted_makes_a_heading_a_link_or_the_end_of_its_fence(
    title: str, body: str, domain: str, label: str
) -> None:
    text = handbook([learning("d" + domain, title="t" + title, body=body)], [pattern("d" + domain, label="l" + label)])
    outside = unfenced(text)
    headings = [line for line in outside if re.match(r" {0,3}#{1,6}(?:\s|$)", line)]
    assert len(headings) == 4
    assert sum(line.startswith("- **l") for line in outside) == 1
    assert not any(re.search(r"(?<!\\)[<\[]", line) for line in outside if not line.startswith("> "))


@given(HOSTILE)
def test_a_body_cannot_end_its_fence_and_hides_nothing(body: str) -> None:
    first, *inside, last = quoted(body).rstrip("\n").split("\n")
    fence = first.removesuffix("text")
    assert last == fence
    assert not any(line.strip(" ") == fence or line.lstrip(" ").startswith(fence) for line in inside)
    assert "\u202e" not in "".join(inside)


def test_a_line_is_plain_text() -> None:
    assert inline("# [x](http://e)\n<b>") == r"\# \[x\](http\://e) \<b\>"
    assert inline("a\u200bb") == "ab"
    assert inline("fix(auth): no token in src/auth-2.py!") == "fix(auth): no token in src/auth-2.py!"


@pytest.mark.parametrize(
    "text", ["https://e.org/a", "HTTP://e.org", "www.e.org", "WWW.e.org", "a@e.org", "mailto:a@e.org", "xmpp:a@e.org/b"]
)
def test_no_address_is_a_link(text: str) -> None:
    assert not re.search(r"(?i)(?<!\\)://|www\.|(?<!\\)@|(mailto|xmpp):", inline(text))


MARKED = MarkdownIt("commonmark").enable(["table", "strikethrough"])


@given(st.text(st.characters(codec="utf-8") | st.sampled_from("`#\n*<>[]()-~|\\_!&;$"), max_size=80))
def test_a_reader_of_markdown_sees_the_line_as_it_was(text: str) -> None:
    line = " ".join(visible(text).split())
    (item,) = [token for token in MARKED.parse(f"- **x**: “{inline(text)}” here\n") if token.type == "inline"]
    assert {child.type for child in item.children or ()} <= {"text", "text_special", "strong_open", "strong_close"}
    assert "".join(child.content for child in item.children or ()) == f"x: “{line}” here"


def unfenced(text: str) -> list[str]:
    """The lines outside of fenced blocks, as CommonMark reads them."""
    outside, fence = [], None
    for line in text.split("\n"):
        run = re.match(r" {0,3}(`{3,})([^`]*)$", line)
        if fence is None and run:
            fence = run[1]
        elif fence is None:
            outside.append(line)
        elif run and len(run[1]) >= len(fence) and not run[2].strip():
            fence = None
    return outside
