"""What a commit message says of its kind."""

import re

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
REVERTED_SHA = re.compile(r"\bthis reverts commit ([0-9a-f]{7,40})", re.I)
REVERTED_SUBJECT = re.compile(r'^(?:[a-z]+(?:\([^)]*\))?: )?revert:? "(.+)"', re.I)
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


def reverted_sha(message: str) -> str | None:
    named = REVERTED_SHA.search(message)
    return named[1].lower() if named else None


def reverted_subject(message: str) -> str | None:
    named = REVERTED_SUBJECT.match(message.split("\n", 1)[0])
    return unnumbered(named[1]) if named else None


def unnumbered(subject: str) -> str:
    """Without the pull request's number, which a merge adds and a quotation may lack."""
    return NUMBER.sub("", subject)
