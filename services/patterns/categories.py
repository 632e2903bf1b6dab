"""What kind of change a diff is: a multinomial logistic model over hashed words and the binned shape.

The numbers stand in `categories.npz`, made by `benchmarks/fit_categories.py`; docs/category-model.md says how good
they are. There are two tables: one for changes that come with a title, one for changes that do not.
"""

import math
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from zlib import crc32

import msgspec
import numpy as np
from numpy.typing import NDArray

from services.patterns.shape import shape
from services.patterns.tokens import Words, read_words
from shared.contracts.fixes import Category
from shared.diffs import Diff

CATEGORIES: tuple[Category, ...] = ("bug-fix", "performance", "refactor", "security")
SECURITY = CATEGORIES.index("security")
BUCKETS = 1 << 15
# How far each channel of words speaks: it is scaled to this length, whatever the size of the change.
CHANNELS = {"gained": 1.0, "lost": 1.0, "kept": 1.0, "paths": 1.0, "title": 2.0, "phrase": 1.5}
NOTHING = Diff(files=())
_NUMBERS = Path(__file__).with_name("categories.npz")

Floats = NDArray[np.floating]


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
    """

    words: Floats
    bins: Floats
    bias: Floats
    offsets: Floats
    floors: Floats
    security: Floats


class Model(msgspec.Struct, frozen=True):
    """`edges` (`names`, bins - 1): a value belongs to the bin of the first edge above it."""

    names: tuple[str, ...]
    edges: Floats
    with_title: Table
    without_title: Table


def categorize(diff: Diff, title: str | None = None) -> Categorization:
    return categorize_words(diff, read_words(diff, title))


def categorize_words(diff: Diff, words: Words) -> Categorization:
    model = shipped()
    table = model.with_title if words.title else model.without_title
    buckets, weights = hashed(words)
    scores = table.bias + weights @ table.words[buckets]
    scores = scores + table.bins[np.arange(len(model.edges)), binned(model.edges, shape(diff, words))].sum(axis=0)
    return decide(softmax(scores), table, committed=bool(diff.files))


def decide(probabilities: Floats, table: Table, *, committed: bool = True) -> Categorization:
    """The offsets weigh rare categories up; the floor of the one chosen then says whether to commit to it.

    Nothing is ever committed to for a change without files (one that was told by its features alone).
    """
    logs = np.log(np.maximum(probabilities, 1e-9))
    best = int((logs + table.offsets).argmax())
    certain = committed and probabilities[best] >= table.floors[best]
    rank = float(np.searchsorted(table.security, log_odds(probabilities[SECURITY]))) / len(table.security)
    return Categorization(
        probabilities={name: float(p) for name, p in zip(CATEGORIES, probabilities, strict=True)},
        category=CATEGORIES[best] if certain else "uncertain",
        category_confidence=float(probabilities[best]),
        security_rank=rank,
    )


def hashed(words: Words) -> tuple[NDArray[np.intp], Floats]:
    """Buckets and weights of all words; a bucket may come more than once."""
    buckets: list[int] = []
    weights: list[float] = []
    for channel, counts in channels(words).items():
        values = [1.0 + math.log(n) for n in counts.values()]
        length = math.sqrt(sum(value * value for value in values)) or 1.0
        buckets += [crc32(f"{channel}:{word}".encode()) % BUCKETS for word in counts]
        weights += [value * CHANNELS[channel] / length for value in values]
    return np.asarray(buckets, np.intp), np.asarray(weights, np.float32)


def channels(words: Words) -> dict[str, Mapping[str, int]]:
    phrases = [f"{first} {second}" for first, second in zip(words.title, words.title[1:], strict=False)]
    return {
        "gained": words.gained,
        "lost": words.lost,
        "kept": words.kept,
        "paths": words.paths,
        "title": dict.fromkeys(words.title, 1),
        "phrase": dict.fromkeys(phrases, 1),
    }


def binned(edges: Floats, values: Mapping[str, float]) -> NDArray[np.intp]:
    """(shape names,): for each value the number of its edges at or below it."""
    column = np.fromiter(values.values(), np.float32, len(values))
    return np.asarray((edges <= column[:, None]).sum(axis=1), np.intp)


def softmax(scores: Floats) -> Floats:
    powers = np.exp(scores - scores.max())
    return np.asarray(powers / powers.sum())


def log_odds(probability: float) -> float:
    return float(np.log(max(probability, 1e-9)) - np.log(max(1 - probability, 1e-9)))


@lru_cache(maxsize=1)
def shipped() -> Model:
    return load(_NUMBERS)


def load(path: Path) -> Model:
    """Reads what `fit_categories.py` wrote; never unpickles.

    Raises `ValueError` when it was fitted on another shape.
    """
    with np.load(path, allow_pickle=False) as numbers:
        names = tuple(numbers["names"].tolist())
        held = {name: np.asarray(numbers[name], np.float32) for name in numbers.files if name != "names"}
    expected = tuple(shape(NOTHING, read_words(NOTHING, None)))
    if names != expected:
        raise ValueError(f"{path.name} was fitted on another shape; differing: {sorted({*names} ^ {*expected})}")
    tables = (
        Table(**{field: held[f"{kind}_{field}"] for field in Table.__struct_fields__})
        for kind in ("with_title", "without_title")
    )
    return Model(names, held["edges"], *tables)
