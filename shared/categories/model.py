"""What kind of change a diff is: a logistic model over all words and the binned shape, and trees over the commonest.

There are two tables: one for changes that come with a title, one for changes that do not. docs/category-model.md says
how good the numbers are that ship; `shared/categories/artefact.py` reads and writes them.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence, Sized
from itertools import accumulate, chain, repeat
from math import exp, log
from typing import NamedTuple
from zlib import crc32

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.categories.forest import Forest
from shared.categories.shape import shape
from shared.categories.tokens import Words, read_words
from shared.contracts.fixes import Category
from shared.diffs import Diff

CATEGORIES: tuple[Category, ...] = ("bug-fix", "performance", "refactor", "security")
SECURITY = CATEGORIES.index("security")
BUCKETS = 1 << 15
# How far each channel of words speaks: it is scaled to this length, whatever the size of the change.
CHANNELS = {"gained": 1.0, "lost": 1.0, "kept": 1.0, "paths": 1.0, "title": 2.0, "phrase": 1.5, "opening": 1.0}
TITLE_CHANNELS = frozenset({"title", "phrase", "opening"})
_BEGINS = {channel: crc32(f"{channel}:".encode()) for channel in CHANNELS}
# Names of the shape's values, in order.
SHAPE = tuple(shape(Diff(files=()), read_words(Diff(files=()), None)))

# Raise it when a word or a value of the shape keeps its name and means something else.
_DEFINITION = 1
_READ = repr((_DEFINITION, BUCKETS, CHANNELS, SHAPE)).encode()
# A model answers only for changes that are read as those were that it was fitted on.
FEATURE_SET = f"words-{hashlib.sha256(_READ).hexdigest()[:12]}"

Floats = NDArray[np.floating]


class Spoken(NamedTuple):
    """The words of a change, channel behind channel, as `places` says. `crcs` and `weights` (words,).

    The CRC-32 of `channel:word`, and 1 + the logarithm of how often the word comes.
    """

    crcs: NDArray[np.uint32]
    weights: Floats
    places: dict[str, slice]

    def only(self, channels: Iterable[str]) -> "Spoken":
        crcs, weights = ({c: each[self.places[c]] for c in channels} for each in (self.crcs, self.weights))
        return Spoken(np.concatenate([*crcs.values()]), np.concatenate([*weights.values()]), _places(weights))


class Change(NamedTuple):
    """What is read of a change to categorize it: its words, and of its shape one value for each of `SHAPE`."""

    said: Spoken
    values: Floats
    has_title: bool
    has_files: bool

    @classmethod
    def of(cls, diff: Diff, words: Words) -> "Change":
        return cls(spoken(words), values_of(diff, words), bool(words.title), bool(diff.files))


class Categorization(msgspec.Struct, frozen=True):
    """`probabilities` sum to 1 over the four categories; `category` is also "uncertain"; `security_rank` is 0..1.

    `security_rank` is the share of known changes that look less like security than this one: an order, no probability.
    """

    probabilities: dict[str, float]
    category: Category
    category_confidence: float
    security_rank: float


class Table(msgspec.Struct, frozen=True):
    """`words` (BUCKETS, 4), `bins` (names, bins, 4), `bias` (4,); `offsets` (4,) are added before deciding.

    `floors` (4,): the least probability that a decided category needs. `security` (101,): percentiles of its log-odds.
    `share` (): how much the trees have to say where there are any, 0..1; the rest is the logistic model's.
    """

    words: Floats
    bins: Floats
    bias: Floats
    offsets: Floats
    floors: Floats
    security: Floats
    share: Floats
    forest: Forest | None


class Model(msgspec.Struct, frozen=True):
    """`edges` (`SHAPE`, bins - 1): a value belongs to the bin of the first edge above it."""

    edges: Floats
    with_title: Table
    without_title: Table

    def table(self, has_title: bool) -> Table:
        return self.with_title if has_title else self.without_title


def categorize(model: Model, diff: Diff, words: Words) -> Categorization:
    return categorize_all(model, [Change.of(diff, words)])[0]


def categorize_all(model: Model, changes: Sequence[Change]) -> list[Categorization]:
    """Of each, in order: numpy takes longer to begin with a change than with one more of them."""
    found: dict[int, Categorization] = {}
    for has_title in (True, False):
        places = [place for place, change in enumerate(changes) if change.has_title is has_title]
        alike = [changes[place] for place in places]
        found.update(zip(places, _categorized(model.edges, model.table(has_title), alike), strict=True))
    return [found[place] for place in range(len(changes))]


def _categorized(edges: Floats, table: Table, changes: Sequence[Change]) -> list[Categorization]:
    if not changes:
        return []
    scores = _logistic(edges, table, np.array([c.values for c in changes]), [c.said for c in changes])
    if table.forest is not None:
        trees = np.array([table.forest.scores(c.values, c.said.crcs, c.said.weights) for c in changes])
        scores = (1 - table.share) * scores + table.share * trees
    return [
        decide(softmax(each), table, committed=change.has_files)
        for each, change in zip(scores.tolist(), changes, strict=True)
    ]


def values_of(diff: Diff, words: Words) -> Floats:
    """(`SHAPE`,)."""
    return np.fromiter(shape(diff, words).values(), np.float32, len(SHAPE))


def _logistic(edges: Floats, table: Table, shapes: Floats, said: Sequence[Spoken]) -> Floats:
    """(changes, 4). `shapes` (changes, `SHAPE`)."""
    buckets, weights, sizes = hashed(said)
    places = np.arange(len(said)).repeat(sizes)
    spoken = weights[:, None] * table.words.take(buckets, axis=0)
    words = [np.bincount(places, category, len(said)) for category in spoken.T]
    shaped = table.bins[np.arange(len(edges)), binned(edges, shapes)]
    return np.asarray(table.bias + np.transpose(words) + np.add.reduce(shaped, axis=1))


def decide(probabilities: Sequence[float], table: Table, *, committed: bool = True) -> Categorization:
    """The offsets weigh rare categories up; the floor of the one chosen then says whether to commit to it.

    Nothing is ever committed to for a change without files (one that was told by its features alone).
    """
    weighed = [log(max(p, 1e-9)) + offset for p, offset in zip(probabilities, table.offsets.tolist(), strict=True)]
    best = weighed.index(max(weighed))
    certain = committed and probabilities[best] >= table.floors[best]
    return Categorization(
        probabilities=dict(zip(CATEGORIES, probabilities, strict=True)),
        category=CATEGORIES[best] if certain else "uncertain",
        category_confidence=probabilities[best],
        security_rank=int(table.security.searchsorted(log_odds(probabilities[SECURITY]))) / len(table.security),
    )


def spoken(words: Words) -> Spoken:
    said = channels(words)
    places = _places(said)
    size = sum(map(len, said.values()))
    crcs = chain.from_iterable(
        map(crc32, map(str.encode, counts), repeat(_BEGINS[channel])) for channel, counts in said.items()
    )
    times = chain.from_iterable(counts.values() for counts in said.values())
    return Spoken(np.fromiter(crcs, np.uint32, size), 1.0 + np.log(np.fromiter(times, np.float32, size)), places)


def _places(said: Mapping[str, Sized]) -> dict[str, slice]:
    ends = accumulate(map(len, said.values()))
    return {channel: slice(end - len(words), end) for (channel, words), end in zip(said.items(), ends, strict=True)}


def hashed(said: Sequence[Spoken]) -> tuple[NDArray[np.intp], Floats, NDArray[np.intp]]:
    """Buckets and weights of all words, change behind change, and how many each has; a bucket may come more than once.

    All have the same channels.
    """
    crcs, weights = (np.concatenate([getattr(each, name) for each in said]) for name in ("crcs", "weights"))
    sizes = np.array([[place.stop - place.start for place in each.places.values()] for each in said])
    parts = np.arange(sizes.size).repeat(sizes.ravel())
    lengths = np.sqrt(np.bincount(parts, weights * weights, sizes.size)).reshape(sizes.shape)
    scales = np.array([CHANNELS[channel] for channel in said[0].places]) / np.where(lengths, lengths, 1)
    return (crcs % BUCKETS).astype(np.intp), weights * scales.astype(np.float32).take(parts), sizes.sum(axis=1)


def channels(words: Words) -> dict[str, Mapping[str, int]]:
    phrases = [f"{first} {second}" for first, second in zip(words.title, words.title[1:], strict=False)]
    return {
        "gained": words.gained,
        "lost": words.lost,
        "kept": words.kept,
        "paths": words.paths,
        "title": dict.fromkeys(words.title, 1),
        "phrase": dict.fromkeys(phrases, 1),
        "opening": dict.fromkeys(words.title[:1], 1),
    }


def binned(edges: Floats, shapes: Floats) -> NDArray[np.intp]:
    """(changes, `SHAPE`), as `shapes`: for each value the number of its edges at or below it."""
    return np.asarray(np.add.reduce(edges <= shapes[:, :, None], axis=2, dtype=np.intp))


def softmax(scores: Sequence[float]) -> list[float]:
    """Of four numbers, which numpy takes longer for."""
    raised = [exp(score - max(scores)) for score in scores]
    total = sum(raised)
    return [each / total for each in raised]


def log_odds(probability: float) -> float:
    return log(max(probability, 1e-9)) - log(max(1 - probability, 1e-9))
