"""Fits and measures the category model: `python -m benchmarks.fit_categories train.jsonl.gz categories.npz`.

Each line of the data is a commit: `repo`, `diff` (hunks, perhaps cut off), `input.files` and `input.test_files`
([path, status, added, deleted]), `label.category`, `label.subject`. All that is printed is measured on repositories
that were left out. scipy comes with lightgbm.
"""

import gzip
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from scipy.optimize import minimize

from benchmarks.category_quality import best_offsets, least_sure, report, security_log_odds
from benchmarks.commit_diffs import read_diff
from services.patterns import categories
from services.patterns.categories import BUCKETS, CATEGORIES, SECURITY
from services.patterns.shape import shape
from services.patterns.tokens import read_words

BINS = 8
FOLDS = 5
# The shape speaks as loud as two channels of words together; chosen among 1, 1.5, 2, 4.
SHAPE_SCALE = 2.0
# Security is 2 % of the rows: louder while fitting, taken back from the bias afterwards.
SECURITY_WEIGHT = 5.0
PENALTY = {"with_title": 2e-4, "without_title": 5e-4}
STEPS = 60


class Rows(NamedTuple):
    words: dict[str, sparse.csr_matrix]
    shapes: np.ndarray
    labels: np.ndarray
    repositories: np.ndarray
    names: list[str]


class Fit(NamedTuple):
    edges: np.ndarray
    words: np.ndarray
    bins: np.ndarray
    bias: np.ndarray


def main(data: Path, out: Path) -> None:
    rows = read(data)
    numbers: dict[str, np.ndarray] = {}
    for kind in PENALTY:
        left_out = cross_fitted(rows, kind)
        offsets = best_offsets(left_out, rows.labels)
        floors = least_sure(left_out, offsets)
        report(kind, rows.labels, folds(rows.repositories), left_out)
        fit = fitted(rows, kind, np.arange(len(rows.labels)))
        numbers |= {f"{kind}_{name}": getattr(fit, name) for name in ("words", "bins", "bias")}
        numbers |= {f"{kind}_offsets": offsets, f"{kind}_floors": floors}
        numbers[f"{kind}_security"] = np.percentile(security_log_odds(left_out), np.arange(101))
    numbers |= {"edges": fit.edges, "names": np.array(rows.names)}
    np.savez_compressed(out, **{name: compact(name, value) for name, value in numbers.items()})
    print(f"{out}: {out.stat().st_size / 1024:.0f} KiB")


def compact(name: str, numbers: np.ndarray) -> np.ndarray:
    if name == "names":
        return numbers
    return numbers.astype(np.float16 if name.endswith("_words") else np.float32)


def read(data: Path) -> Rows:
    words: dict[str, list[sparse.csr_matrix]] = {kind: [] for kind in PENALTY}
    shapes, labels, repositories = [], [], []
    for commit in commits(data):
        diff = read_diff(commit)
        for kind, title in (("with_title", commit["label"]["subject"]), ("without_title", None)):
            read_ = read_words(diff, title)
            words[kind].append(row(read_))
        seen = shape(diff, read_)
        shapes.append(list(seen.values()))
        labels.append(CATEGORIES.index(commit["label"]["category"]))
        repositories.append(commit["repo"])
    stacked = {kind: sparse.vstack(found).tocsr() for kind, found in words.items()}
    return Rows(stacked, np.array(shapes, np.float32), np.array(labels), np.array(repositories), list(seen))


def commits(data: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(data, "rt") as lines:
        yield from map(json.loads, lines)


def row(words: Any) -> sparse.csr_matrix:
    buckets, weights = categories.hashed(words)
    return sparse.csr_matrix((weights, (np.zeros_like(buckets), buckets)), shape=(1, BUCKETS))


def fitted(rows: Rows, kind: str, chosen: np.ndarray) -> Fit:
    edges = quantiles(rows.shapes[chosen])
    design = sparse.hstack([rows.words[kind][chosen], one_hot(edges, rows.shapes[chosen])]).tocsr()
    weights = logistic(design, rows.labels[chosen], PENALTY[kind])
    words, bins, bias = weights[:BUCKETS], weights[BUCKETS:-1] * loudness(edges), weights[-1]
    bias[SECURITY] -= np.log(SECURITY_WEIGHT)
    return Fit(edges, words, bins.reshape(len(edges), BINS, len(CATEGORIES)), bias)


def quantiles(shapes: np.ndarray) -> np.ndarray:
    """(shape names, BINS - 1); equal edges leave the bins between them empty, which does no harm."""
    return np.quantile(shapes, np.linspace(0, 1, BINS + 1)[1:-1], axis=0).T.astype(np.float32)


def one_hot(edges: np.ndarray, shapes: np.ndarray) -> sparse.csr_matrix:
    places = (edges[None] <= shapes[:, :, None]).sum(axis=2) + np.arange(len(edges)) * BINS
    ones = np.full(places.size, loudness(edges), np.float32)
    size = (len(shapes), len(edges) * BINS)
    return sparse.csr_matrix((ones, (np.repeat(np.arange(len(shapes)), len(edges)), places.ravel())), shape=size)


def loudness(edges: np.ndarray) -> float:
    return float(SHAPE_SCALE / np.sqrt(len(edges)))


def logistic(design: sparse.csr_matrix, labels: np.ndarray, penalty: float) -> np.ndarray:
    """(columns + 1, 4), the last row is the bias. Mean cross-entropy plus an L2 penalty, by L-BFGS."""
    targets = np.eye(len(CATEGORIES), dtype=np.float32)[labels]
    share = np.where(labels == SECURITY, SECURITY_WEIGHT, 1.0).astype(np.float32)
    share /= share.sum()
    turned = design.T.tocsr()
    size = (design.shape[1] + 1, len(CATEGORIES))

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights = flat.reshape(size).astype(np.float32)
        probabilities = softmax(design @ weights[:-1] + weights[-1])
        slope = (probabilities - targets) * share[:, None]
        gradient = np.vstack([turned @ slope + penalty * weights[:-1], slope.sum(axis=0)])
        surprise = -(share * np.log(np.maximum((probabilities * targets).sum(axis=1), 1e-12))).sum()
        return float(surprise + penalty / 2 * (weights[:-1] ** 2).sum()), gradient.ravel().astype(np.float64)

    found = minimize(loss, np.zeros(size).ravel(), jac=True, method="L-BFGS-B", options={"maxiter": STEPS})
    return found.x.reshape(size).astype(np.float32)


def softmax(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def folds(repositories: np.ndarray) -> np.ndarray:
    """(rows,): the fold of each row. Whole repositories, the largest first, each into the emptiest fold."""
    names, sizes = np.unique(repositories, return_counts=True)
    filled = np.zeros(FOLDS)
    fold_of = {}
    for at in np.argsort(-sizes, kind="stable"):
        fold_of[names[at]] = int(filled.argmin())
        filled[fold_of[names[at]]] += sizes[at]
    return np.array([fold_of[name] for name in repositories])


def cross_fitted(rows: Rows, kind: str) -> np.ndarray:
    """(rows, 4): each row's probabilities by a model that has seen nothing of its repository."""
    fold = folds(rows.repositories)
    probabilities = np.zeros((len(fold), len(CATEGORIES)))
    for at in range(FOLDS):
        fit = fitted(rows, kind, np.flatnonzero(fold != at))
        scores = rows.words[kind][fold == at] @ fit.words + fit.bias
        places = (fit.edges[None] <= rows.shapes[fold == at][:, :, None]).sum(axis=2)
        probabilities[fold == at] = softmax(scores + fit.bins[np.arange(len(fit.edges)), places].sum(axis=1))
    return probabilities


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
