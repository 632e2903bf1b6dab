"""The shape of a change: sizes, how much of it is the same words again, and hits in the lexicon."""

from collections import Counter
from collections.abc import Iterable, Mapping

from services.patterns.lexicon import LEXICON
from services.patterns.tokens import LINES_PER_FILE, Words
from shared.diffs import Diff, FileChange
from shared.features.change import change_features
from shared.files import kind

# A shorter line (a brace, `else`) says nothing when it stands on both sides.
_TELLING_LINE = 4


def shape(diff: Diff, words: Words) -> dict[str, float]:
    """By name, always the same names in the same order; counts are raw, for they are binned by the reader."""
    counted = change_features(diff)
    return {
        **counted,
        **_balance(counted),
        "test_new": sum(file.status == "A" and kind(file.path) == "test" for file in diff.files),
        "moved": _moved(diff.files),
        **_overlap(words),
        **{name: value for field in LEXICON for name, value in _hits(field, words).items()},
    }


def _balance(counted: Mapping[str, float]) -> dict[str, float]:
    added, deleted = counted["la"], counted["ld"]
    return {
        "net": added - deleted,
        "growth": (added - deleted) / (added + deleted + 1),
        "br_net": counted["br_add"] - counted["br_rem"],
        "fn_net": counted["fn_add"] - counted["fn_rem"],
    }


def _moved(files: Iterable[FileChange]) -> float:
    """Share of the smaller side's lines that stand on the other side too, 0..1."""
    source = [file for file in files if kind(file.path) == "source"]
    here = _telling(line for file in source for line in file.added[:LINES_PER_FILE])
    there = _telling(line for file in source for line in file.deleted[:LINES_PER_FILE])
    smaller = min(here.total(), there.total())
    return (here & there).total() / smaller if smaller else 0.0


def _telling(lines: Iterable[str]) -> Counter[str]:
    return Counter(bare for line in lines if len(bare := line.strip()) >= _TELLING_LINE)


def _overlap(words: Words) -> dict[str, float]:
    """Jaccard overlap of the two sides' words, with and without their counts, 0..1."""
    kept = sum(words.kept.values())
    total = sum(words.added.values()) + sum(words.deleted.values()) - kept
    vocabulary = len(words.added) + len(words.deleted) - len(words.kept)
    return {
        "words_kept": kept / (total or 1),
        "vocabulary_kept": len(words.kept) / (vocabulary or 1),
        "vocabulary_new": (len(words.added) - len(words.kept)) / (vocabulary or 1),
    }


def _hits(field: str, words: Words) -> dict[str, float]:
    found = {"paths_" + field: float(len(LEXICON[field] & words.paths.keys()))}
    for side, counts in (("gained", words.gained), ("lost", words.lost)):
        found |= {f"{side}_{field}_{name}": value for name, value in _share(LEXICON[field], counts).items()}
    return found


def _share(field: frozenset[str], counts: Mapping[str, int]) -> dict[str, float]:
    hits = [counts[word] for word in field & counts.keys()]
    # 5: a lone word in a one-line change is no full share.
    return {"hits": sum(hits), "words": len(hits), "share": sum(hits) / (5 + sum(counts.values()))}
