"""The words of a change: identifiers and their parts, operators, parts of paths, words of the title."""

import re
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from itertools import chain

import msgspec

from shared.diffs import Diff

# Characters read on each side of a change. What lies beyond adds time, not knowledge: the numbers were fitted on 9 KB.
TEXT_LIMIT = 1 << 16
LONGEST_WORD = 40
# A file's first lines stand for all of it, so that one generated file does not use up the whole limit.
LINES_PER_FILE = 400
_MOST_KNOWN, _MOST_PATHS = 1 << 16, 1 << 12

# They carry intent. The longer ones come first.
_OPERATORS = ["===", "!==", "?.", "??", "=>", "->", "::", "&&", "||", "==", "!=", ">=", "<=", "!", "<", ">", "?", "&"]
OPERATORS = frozenset(_OPERATORS)
_WORD = re.compile("|".join(["[A-Za-z_][A-Za-z0-9_]*", "[0-9]+", *map(re.escape, _OPERATORS)]))
# Spaces for all that stands in no name or number, and for all that stands in no operator.
_NAMES, _SIGNS = (
    bytes(byte if re.match(kept, chr(byte)) else ord(" ") for byte in range(256))
    for kept in ("[A-Za-z0-9_]", f"[{re.escape(''.join(_OPERATORS))}]")
)
_PART = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|[0-9]+")
_TITLE_WORD = re.compile(r"[A-Za-z][A-Za-z0-9]+")
# `fix(scope)!: `, `server/user: `, and the sign that some put before it all, as `:bug:`.
_PREFIX = re.compile(r"^\s*(?::\w+:\s*)?(?:[\w/-]+\s*(?:\([^)]*\))?!?:\s*)?")
_PULL_REQUEST = re.compile(r"\(#\d+\)")


class Words(msgspec.Struct, frozen=True):
    """Counts by lower-cased word. `gained` and `lost` are what the other side has fewer of, `kept` what both have."""

    added: dict[str, int]
    deleted: dict[str, int]
    gained: dict[str, int]
    lost: dict[str, int]
    kept: dict[str, int]
    paths: dict[str, int]
    title: tuple[str, ...]


def read_words(diff: Diff, title: str | None) -> Words:
    added = count_words(chain.from_iterable(file.added[:LINES_PER_FILE] for file in diff.files))
    deleted = count_words(chain.from_iterable(file.deleted[:LINES_PER_FILE] for file in diff.files))
    kept = {word: min(added[word], deleted[word]) for word in filter(deleted.__contains__, added)}
    return Words(
        added=added,
        deleted=deleted,
        gained=_surplus(added, kept),
        lost=_surplus(deleted, kept),
        kept=kept,
        paths=Counter(chain.from_iterable(path_words(file.path) for file in diff.files)),
        title=title_words(title or ""),
    )


def count_words(lines: Iterable[str]) -> dict[str, int]:
    """Each identifier counts as its parts and, where it has several, as the whole: `useMemo` is `use memo usememo`."""
    text = _limited(lines).encode(errors="replace")
    runs = text.translate(_NAMES).split() + text.translate(_SIGNS).split()
    return Counter(chain.from_iterable(map(_KNOWN.__getitem__, runs)))


def title_words(title: str) -> tuple[str, ...]:
    """Without a conventional prefix and the pull request's number: the prefix is declared, the words are evidence."""
    bare = _PULL_REQUEST.sub("", _PREFIX.sub("", title))
    return tuple(word.lower() for word in _TITLE_WORD.findall(bare))


@lru_cache(maxsize=_MOST_PATHS)
def path_words(path: str) -> tuple[str, ...]:
    """Directories (`d:`), extension (`x:`), file name (`n:`) and the plain parts of all of them, each once, in order.

    The order is that of the path: in a set's, sums would differ from process to process in their last digits.
    """
    *folders, name = path.lower().split("/")
    marked = [*(f"d:{folder}" for folder in folders), f"n:{name}", f"x:{name.rpartition('.')[2]}"]
    return tuple(dict.fromkeys([*marked, *map(str.lower, _PART.findall(path))]))


def _limited(lines: Iterable[str]) -> str:
    """Whole lines, up to the limit."""
    text = "\n".join(lines)
    return text if len(text) < TEXT_LIMIT else text[: text.rfind("\n", 0, TEXT_LIMIT) + 1]


def _parts(run: bytes) -> tuple[str, ...]:
    text = run.decode()
    return _parts_of(text) if text.isidentifier() else tuple(chain.from_iterable(map(_parts_of, _WORD.findall(text))))


class _Known(dict[bytes, tuple[str, ...]]):
    """The parts of runs seen before; full, it begins anew, for to order them by use takes longer than to split some."""

    def __missing__(self, run: bytes) -> tuple[str, ...]:
        parts = _parts(run)
        if len(self) >= _MOST_KNOWN:
            self.clear()
        if len(run) <= LONGEST_WORD:
            self[run] = parts
        return parts


_KNOWN = _Known()


def _parts_of(word: str) -> tuple[str, ...]:
    if len(word) > LONGEST_WORD:
        return ()
    if word in OPERATORS:
        return (word,)
    parts = tuple(part.lower() for part in _PART.findall(word) if len(part) > 1)
    return parts if len(parts) == 1 else (*parts, word.lower())


def _surplus(counts: dict[str, int], kept: dict[str, int]) -> dict[str, int]:
    """`counts` without what both sides have, in its own order: to copy all is quicker than to ask each word."""
    surplus = {**counts}
    for word, n in kept.items():
        if surplus[word] > n:
            surplus[word] -= n
        else:
            del surplus[word]
    return surplus
