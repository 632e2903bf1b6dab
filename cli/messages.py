"""What a commit message says of its kind."""

import re
from typing import NamedTuple

TYPED = re.compile(r"^(?P<type>[a-z]+)(?:\((?P<scope>[^)\n]*)\))?!?:\s", re.I)
# Conventional types and what people write for them.
CONVENTIONAL = (
    "build",
    "chore",
    "ci",
    "docs",
    "feat",
    "fix",
    "perf",
    "refactor",
    "revert",
    "security",
    "style",
    "test",
)
TYPES = {name: name for name in CONVENTIONAL} | {
    "bug": "fix",
    "bugfix": "fix",
    "doc": "docs",
    "feature": "feat",
    "hotfix": "fix",
    "performance": "perf",
    "tests": "test",
}
FIXING_TYPES = {"fix", "security"}
FIXING = re.compile(r"\b(bug ?fix(es)?|hotfix|fix(es|ed|ing)?|bugs?|regression|crash(es)?)\b", re.I)
# It repairs words, checks or tests, not behaviour.
COSMETIC = re.compile(
    r"\b(typos?|lint(s|er|ing)?|format(ting)?|spelling|flake8|pylint|mypy|typing|doc(s|strings?)?|changelog|tests?|ci|merge)\b",
    re.I,
)
COSMETIC_SCOPE = re.compile(r"(docs?|tests?|ci|deps|dependencies|lint|infra)$", re.I)
# As git and people write them: alone or many, in a range, in a list, behind a repository's name or an address.
_SHA = r"[0-9a-f]{7,64}"
_ITEM = rf"(?:[^\s,`]*(?:/commits?/|@))?\b({_SHA}(?:\.{{2,3}}{_SHA})?)\b(?!/)"
_BETWEEN = r"(?:[\s,;`*-]|\band\b)"
# Possessive: a message may be of any length, and is somebody else's.
REVERTED_SHAS = re.compile(
    r"(?:\bthis\s++(?:partially\s++)?reverts|^(?:this\s++)?reverts?)\s++(?:the\s++)?(?:following\s++)?(?:commits?\b:?)?"
    rf"{_BETWEEN}*+({_ITEM}(?:{_BETWEEN}++{_ITEM})*)",
    re.I | re.M,
)
ITEM = re.compile(_ITEM, re.I)
# What is shorter may be a word without one, such as `defaced`.
SURELY_A_SHA = 12
# Quoted, as git and GitHub do, or bare behind the conventional type.
REVERTED_SUBJECT = re.compile(
    r"^(?:\[[^\]\n]*\] *)?(?:[a-z]+(?:\([^)\n]*\))?!?: *)?revert(?:\([^)\n]*\))?!?:? *[\"'“‘`](.+)[\"'”’`]"
    r"|^revert(?:\([^)\n]*\))?!?: (.+)",
    re.I,
)
REVERTED_NUMBER = re.compile(r"^(?:this )?reverts?:? (?:pull request |PR )?(?:[\w.-]+/([\w.-]+))?#(\d+)\b", re.I | re.M)
NUMBER = re.compile(r"^(?:this )?reverts?:? (?:pull request |PR )?(?:[\w.-]+/[\w.-]+)?#(\d+)\b", re.I | re.M)
NUMBERS = re.compile(r"( \(#(\d+)\))+$")


def fix_type(subject: str) -> str | None:
    """The conventional type, in one spelling; null without one."""
    if subject.lower().startswith("revert "):
        return "revert"
    typed = TYPED.match(subject)
    return TYPES.get(typed["type"].lower()) if typed else None


def is_fix(message: str) -> bool:
    """Whether it repairs something that an earlier change broke: by its type, or without one by its subject.

    What takes a change back blames that one, and nobody else.
    """
    subject = message.split("\n", 1)[0]
    if REVERTED_SUBJECT.match(subject):
        return False
    typed = TYPED.match(subject)
    if typed and typed["type"].lower() in TYPES:
        return fix_type(subject) in FIXING_TYPES and not COSMETIC_SCOPE.match(typed["scope"] or "")
    # What stands there else is a part of the program, as in `net: fix …`.
    if typed and COSMETIC_SCOPE.match(typed["type"]):
        return False
    return bool(FIXING.search(subject)) and not COSMETIC.search(subject)


class Reverted(NamedTuple):
    """What a message says that it takes back: by shas, whole or their beginning, and ranges `A..B` of them; by a
    subject; by a pull request, with its repository's name where that is said, without its owner's."""

    shas: tuple[str, ...]
    subject: str | None
    number: int | None
    repository: str | None = None


def reverted(message: str) -> Reverted:
    shas = [
        sha.lower().replace("...", "..")
        for named in REVERTED_SHAS.finditer(message)
        for sha in ITEM.findall(named[1])
        if len(sha) >= SURELY_A_SHA or re.search(r"\d", sha)
    ]
    quoted = REVERTED_SUBJECT.match(message.split("\n", 1)[0])
    title = (quoted[1] or quoted[2]) if quoted else None
    numbered, quoted_number = REVERTED_NUMBER.search(message), NUMBERS.search(title or "")
    number = numbered[2] if numbered else quoted_number and quoted_number[2]
    return Reverted(
        tuple(dict.fromkeys(shas)), title and unnumbered(title), int(number) if number else None,
        numbered[1] if numbered else None,
    )  # fmt: skip


def unnumbered(subject: str) -> str:
    """Without the pull request's number, which a merge adds and a quotation may lack."""
    return NUMBERS.sub("", subject)
