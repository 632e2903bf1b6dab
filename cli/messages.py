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
COSMETIC = re.compile(r"\b(typos?|lint(er|ing)?|format(ting)?|spelling|flake8|docs?|changelog|tests?|ci|merge)\b", re.I)
COSMETIC_SCOPE = re.compile(r"(docs?|tests?|ci|deps|dependencies|lint|infra)$", re.I)
_SHA = r"\b[0-9a-f]{7,40}\b"
REVERTED_SHAS = re.compile(rf"\bthis (?:partially )?reverts commits?:?\s+({_SHA}(?:(?:,|\s|\band\b)+{_SHA})*)", re.I)
# Quoted, as git and GitHub do, or bare behind the conventional type.
REVERTED_SUBJECT = re.compile(r'^(?:[a-z]+(?:\([^)\n]*\))?: )?revert:? "(.+)"|^revert(?:\([^)\n]*\))?!?: (.+)', re.I)
REVERTED_NUMBER = re.compile(r"^(?:this )?reverts?:? (?:pull request |PR )?(?:[\w.-]+/[\w.-]+)?#(\d+)\b", re.I | re.M)
NUMBER = re.compile(r"( \(#\d+\))+$")


def fix_type(subject: str) -> str | None:
    """The conventional type, in one spelling; null without one."""
    if subject.lower().startswith("revert "):
        return "revert"
    typed = TYPED.match(subject)
    return TYPES.get(typed["type"].lower()) if typed else None


def is_fix(message: str) -> bool:
    """Whether it repairs something that an earlier change broke: by its type, or without one by its subject."""
    subject = message.split("\n", 1)[0]
    if typed := TYPED.match(subject):
        return fix_type(subject) in FIXING_TYPES and not COSMETIC_SCOPE.match(typed["scope"] or "")
    return bool(FIXING.search(subject)) and not COSMETIC.search(subject)


class Reverted(NamedTuple):
    """What a message says that it takes back: by shas, whole or their beginning; by a subject; by a pull request."""

    shas: tuple[str, ...]
    subject: str | None
    number: int | None


def reverted(message: str) -> Reverted:
    shas = [sha.lower() for named in REVERTED_SHAS.finditer(message) for sha in re.findall(_SHA, named[1], re.I)]
    quoted = REVERTED_SUBJECT.match(message.split("\n", 1)[0])
    subject = unnumbered(quoted[1] or quoted[2]) if quoted else None
    numbered = REVERTED_NUMBER.search(message)
    return Reverted(tuple(dict.fromkeys(shas)), subject, int(numbered[1]) if numbered else None)


def unnumbered(subject: str) -> str:
    """Without the pull request's number, which a merge adds and a quotation may lack."""
    return NUMBER.sub("", subject)
