"""The shape of a change: sizes, how much of it is the same words again, and hits in the lexicon."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain

from shared.categories.lexicon import ANY_FIELD, LEXICON, TITLE_LEXICON
from shared.categories.tokens import LINES_PER_FILE, Words
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
        **_all_hits(words),
        **_title_hits(words.title),
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
    here = _telling(file.added[:LINES_PER_FILE] for file in source)
    there = _telling(file.deleted[:LINES_PER_FILE] for file in source)
    both = set(here).intersection(there)
    if not both:
        return 0.0
    moved = Counter(filter(both.__contains__, here)) & Counter(filter(both.__contains__, there))
    return moved.total() / min(len(here), len(there))


def _telling(sides: Iterable[Sequence[str]]) -> list[str]:
    return [line for line in map(str.strip, chain.from_iterable(sides)) if len(line) >= _TELLING_LINE]


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


def _all_hits(words: Words) -> dict[str, float]:
    """Most words stand in no field: those that stand in any are picked out once."""
    sides = {
        side: (counts, counts.keys() & ANY_FIELD, sum(counts.values()))
        for side, counts in (("gained", words.gained), ("lost", words.lost))
    }
    found: dict[str, float] = {}
    for name, field in LEXICON.items():
        found[f"paths_{name}"] = float(len(field & words.paths.keys()))
        for side, (counts, telling, total) in sides.items():
            hits = [counts[word] for word in telling & field]
            found[f"{side}_{name}_hits"] = sum(hits)
            found[f"{side}_{name}_words"] = len(hits)
            # 5: a lone word in a one-line change is no full share.
            found[f"{side}_{name}_share"] = sum(hits) / (5 + total)
    return found


def _title_hits(title: tuple[str, ...]) -> dict[str, float]:
    """Titles begin with their verb, so the first word is asked once more."""
    hits = {f"title_{name}": float(sum(word in field for word in title)) for name, field in TITLE_LEXICON.items()}
    opens = {
        f"title_opens_{name}": float(title[:1] != () and title[0] in field) for name, field in TITLE_LEXICON.items()
    }
    return {**hits, **opens, "title_words": float(len(title))}
