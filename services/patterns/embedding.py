"""Where a change stands among others, in two channels: a vector of its words and the tree of its paths.

The two are compared apart and then fused: hashing paths and words into one small vector loses most of what paths know.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from itertools import chain
from typing import Any
from zlib import crc32

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.categories.tokens import OPERATORS, Words, count_words, read_words, title_words
from shared.diffs import Diff

DIMENSIONS = 256
# Each word is a sum of this many signed axes.
LANES = 8
# Share of the paths in the fused similarity, and what a word of the title adds to one of the code; these and the next
# two are chosen by P@5 of related changes: docs/related-changes.md.
PATH_SHARE = 0.85
TITLE_WEIGHT = 2.0
# A directory counts by its depth, a file as if it lay so much deeper: two changes of one file are nearer than two of
# one directory.
FILE_WEIGHT = 2.5
# The name without extension and test marker, beside the file itself, so that a file is near to its test.
STEM_SHARE = 0.3
PATH_TERMS_LIMIT = 400

Vector = NDArray[np.float32]


_LANE = np.arange(LANES, dtype=np.uint64) << np.uint64(32)
# The lowest bits of a lane are its axis, the highest one its sign.
_AXIS = np.uint64(DIMENSIONS - 1)


class Embedding(msgspec.Struct, frozen=True):
    """`text` (256,), of unit length or all zero when there are no words; `paths` of unit length or empty.

    `place` is a hash of the set of changed files, null when there are none.
    """

    text: Vector
    paths: dict[str, float]
    place: int | None = None


NOWHERE = Embedding(text=np.zeros(DIMENSIONS, np.float32), paths={})


def embed(diff: Diff, title: str | None) -> Embedding:
    return place_of(diff, read_words(diff, title))


def place_of(diff: Diff, words: Words) -> Embedding:
    return Embedding(text=embed_read(words), paths=path_terms(diff), place=file_set(diff))


def embed_text(diff: Diff, title: str | None) -> Vector:
    """(256,) float32, of unit length or all zero when the change has no words."""
    return embed_read(read_words(diff, title))


def embed_read(words: Words) -> Vector:
    both = {word: words.added[word] + words.deleted[word] for word in words.kept}
    return _projected({**words.added, **words.deleted, **both}, words.title)


def embed_words(title: str, body: str) -> Vector:
    """A text about changes, in the space of `embed_text`."""
    return _projected(count_words(body.splitlines()), title_words(title))


def path_terms(diff: Diff) -> dict[str, float]:
    """Every directory and file of the tree above the changed files, and `*stem` for their names; of unit length.

    Only 400 are kept: those that most of the files share, the heaviest first.
    """
    counts = Counter(term for file in diff.files for term in _tree(file.path))
    terms = {term: weight * (1.0 + math.log(n)) for (term, weight), n in counts.items()}
    shared = sorted(counts, key=lambda found: (-counts[found], -found[1]))[:PATH_TERMS_LIMIT]
    kept = {term: terms[term] for term, _ in shared}
    length = math.hypot(*kept.values())
    return {term: weight / length for term, weight in kept.items()}


def file_set(diff: Diff) -> int | None:
    """64 signed bits, the same for changes of the same files; null when there are none."""
    files = "\n".join(sorted({file.path for file in diff.files}))
    return int.from_bytes(blake2b(files.encode(), digest_size=8).digest(), "big", signed=True) if files else None


def _tree(path: str) -> Iterator[tuple[str, float]]:
    parts = path.split("/")
    for depth in range(1, len(parts)):
        yield "/".join(parts[:depth]), depth
    yield path, FILE_WEIGHT * len(parts)
    yield f"*{_stem(parts[-1])}", STEM_SHARE * len(parts)


def similarity(one: Embedding, other: Embedding) -> float:
    """0..1. Where either knows no paths (a learning) the words speak alone. Lengths need not be exactly 1."""
    text = max(0.0, _cosine(float(one.text @ other.text), _length(one.text), _length(other.text)))
    if not one.paths or not other.paths:
        return text
    return (1 - PATH_SHARE) * text + PATH_SHARE * path_similarity(one.paths, other.paths)


def similarities(places: Sequence[Embedding]) -> NDArray[np.float32]:
    """(n, n): `similarity` of each two of unit length."""
    text = np.array([place.text for place in places])
    words = np.maximum(0.0, text @ text.T)
    terms = {term: at for at, term in enumerate({term for place in places for term in place.paths})}
    trees = np.zeros((len(places), len(terms)), np.float32)
    for row, place in zip(trees, places, strict=True):
        row[[terms[term] for term in place.paths]] = list(place.paths.values())
    fused = (1 - PATH_SHARE) * words + PATH_SHARE * (trees @ trees.T)
    placeless = np.array([not place.paths for place in places], bool)
    alike: NDArray[np.float32] = np.where(placeless[:, None] | placeless, words, fused)
    return np.minimum(1.0, alike)


def path_similarity(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    """Cosine, 0..1; 0 when either is empty."""
    small, large = sorted((one, other), key=len)
    shared = sum(weight * large.get(term, 0.0) for term, weight in small.items())
    return _cosine(shared, math.hypot(*one.values()), math.hypot(*other.values()))


def _length(vector: Any) -> float:
    return math.sqrt(vector @ vector)


def _cosine(product: float, one_length: float, other_length: float) -> float:
    return min(1.0, product / (one_length * other_length)) if one_length and other_length else 0.0


def _projected(counts: Mapping[str, int], title: tuple[str, ...]) -> Vector:
    """Operators say what kind of change it is, not what it is about: they are left out here."""
    named = {**counts}
    for operator in OPERATORS & named.keys():
        del named[operator]
    hashes = np.fromiter(map(crc32, map(str.encode, chain(named, title))), np.uint64, len(named) + len(title))
    weights = np.full(len(hashes), TITLE_WEIGHT)
    weights[: len(named)] = 1.0 + np.log(np.fromiter(named.values(), np.float64, len(named)))
    return _project(hashes, weights)


def _project(hashes: NDArray[np.uint64], weights: NDArray[np.float64]) -> Vector:
    """A signed random projection without a matrix: the axes of a word follow from its hash, in every process alike."""
    lanes = _scrambled(hashes[:, None] | _LANE)
    axes = (lanes & _AXIS).astype(np.intp)
    values = np.where(lanes >> np.uint64(63), weights[:, None], -weights[:, None])
    summed = np.bincount(axes.ravel(), weights=values.ravel(), minlength=DIMENSIONS)
    return (summed / (_length(summed) or 1.0)).astype(np.float32)


def _scrambled(bits: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finalizer of SplitMix64 (Steele, Lea and Flood, 2014); arithmetic wraps at 64 bits."""
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


def _stem(name: str) -> str:
    """`user_service.test.ts`, `test_user_service.py` and `user_service.ts` are all `user_service`."""
    bare = name.lower().lstrip(".").partition(".")[0]
    for marker in ("test_", "spec_"):
        bare = bare.removeprefix(marker)
    for marker in ("_test", "_spec", "-test", "-spec"):
        bare = bare.removesuffix(marker)
    return bare
