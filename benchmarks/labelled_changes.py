"""The labelled histories as a category model is fitted on them, once with their titles and once without.

Each line is a commit: `repo`, `time`, `diff` (hunks, perhaps cut off), `input.files` and `input.test_files` ([path,
status, added, deleted]), `label.category`, `label.subject`, `label.scope`.
"""

import gzip
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np
from scipy import sparse

from benchmarks.commit_diffs import read_diff
from services.trainer.category_rows import Rows, rows_of
from shared.categories.tokens import Words, read_words

KINDS = ("without_title", "with_title")
FOLDS = 5
# Twice as many as the served model has: the plain baseline does not have to ship.
PLAIN_BUCKETS = 1 << 16


class Histories(NamedTuple):
    """`plain` are bags of all words, for the baseline; `times` are seconds since 1970."""

    rows: dict[str, Rows]
    plain: dict[str, sparse.csr_matrix]
    repositories: np.ndarray
    times: np.ndarray

    @property
    def labels(self) -> np.ndarray:
        return self.rows["with_title"].labels


def commits(data: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(data, "rt") as lines:
        yield from map(json.loads, lines)


def read(data: Path) -> Histories:
    found = list(commits(data))
    diffs = [read_diff(commit) for commit in found]
    rows, plain = {}, {}
    for kind in KINDS:
        titles = [commit["label"]["subject"] if kind == "with_title" else None for commit in found]
        words = [read_words(diff, title) for diff, title in zip(diffs, titles, strict=True)]
        kinds = [commit["label"]["category"] for commit in found]
        rows[kind] = rows_of(zip(diffs, words, kinds, strict=True))
        plain[kind] = sparse.vstack([bag(each, paths=True) for each in words]).tocsr()
    repositories = np.array([commit["repo"] for commit in found])
    return Histories(rows, plain, repositories, np.array([commit["time"] for commit in found]))


def bag(words: Words, *, paths: bool) -> sparse.csr_matrix:
    """1 + the logarithm of how often each word comes, of code, title and perhaps paths, in hashed buckets."""
    counts = Counter(words.added) + Counter(words.deleted) + Counter(words.paths if paths else ())
    counts.update(words.title)
    buckets = [crc32(word.encode()) % PLAIN_BUCKETS for word in counts]
    weights = 1 + np.log(np.fromiter(counts.values(), np.float32, len(counts)))
    return sparse.csr_matrix((weights, (np.zeros_like(buckets), buckets)), shape=(1, PLAIN_BUCKETS))


def weighed(counts: sparse.csr_matrix, known: np.ndarray) -> sparse.csr_matrix:
    """TF-IDF of unit length; the rarity is that among the known rows."""
    rarity = np.log(known.sum() / (1 + np.asarray((counts[known] > 0).sum(axis=0)).ravel()))
    found = counts @ sparse.diags(np.maximum(rarity, 0))
    lengths = np.sqrt(np.asarray(found.multiply(found).sum(axis=1)).ravel())
    return (sparse.diags(1 / np.maximum(lengths, 1e-9)) @ found).astype(np.float32).tocsr()


def folds(repositories: np.ndarray) -> np.ndarray:
    """(rows,): the fold of each row. Whole repositories, the largest first, each into the emptiest fold."""
    names, sizes = np.unique(repositories, return_counts=True)
    filled = np.zeros(FOLDS)
    fold_of = {}
    for at in np.argsort(-sizes, kind="stable"):
        fold_of[names[at]] = int(filled.argmin())
        filled[fold_of[names[at]]] += sizes[at]
    return np.array([fold_of[name] for name in repositories])
