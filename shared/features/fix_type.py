"""The kind of change its submitter says it is, in the words of conventional commits."""

import re

from shared.contracts.fixes import Category

_SYNONYMS = {
    "build": "build dep deps dependencies",
    "chore": "chore chores maintenance release",
    "ci": "ci",
    "docs": "docs doc documentation",
    "feat": "feat feature features",
    "fix": "fix fixes bug bug-fix bugfix hotfix",
    "perf": "perf performance optimize optimization",
    "refactor": "refactor refactoring cleanup",
    "revert": "revert reverts",
    "security": "security sec",
    "style": "style format",
    "test": "test tests testing",
}
FIX_TYPES = tuple(_SYNONYMS)
_FIX_TYPE = {word: fix_type for fix_type, words in _SYNONYMS.items() for word in words.split()}
# `fix`, `fix:`, `fix(scope)!: title`; a title without the colon is only a title.
_PREFIX = re.compile(r"\s*([A-Za-z_-]+)\s*(?:\([^)]*\))?!?\s*(?::|$)")

# What titles without a declared type say when they mend something.
_MENDS = re.compile(
    r"\b(?:fix(?:es|ed|ing)?|bugs?|bugfix(?:es)?|hotfix|regression|reverts?|reverted|crash(?:es)?)\b", re.I
)
MENDING = frozenset({"fix", "security", "revert"})


# What a declared type says of the category; other types (feat, docs, chore …) say nothing of it.
_CATEGORY: dict[str | None, Category] = {
    "fix": "bug-fix", "perf": "performance", "refactor": "refactor", "security": "security",
}  # fmt: skip


def declared_category(fix_type: str | None) -> Category | None:
    """What a category model learns from, where no reporter has said otherwise."""
    return _CATEGORY.get(normalize_fix_type(fix_type))


def mends(fix_type: str | None, title: str | None) -> bool:
    """Whether the change says that it mends something: by its declared type, else by a word of its title."""
    known = normalize_fix_type(fix_type) or normalize_fix_type(title)
    return known in MENDING if known else bool(_MENDS.search(title or ""))


def normalize_fix_type(text: str | None) -> str | None:
    """One of build, chore, ci, docs, feat, fix, perf, refactor, revert, security, style, test; None for anything else.

    `text` is the bare word or a title that begins with it.
    """
    prefix = _PREFIX.match(text) if text else None
    return _FIX_TYPE.get(prefix[1].lower().replace("_", "-")) if prefix else None
