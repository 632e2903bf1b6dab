"""Fits and measures the category model.

`python -m benchmarks.fit_categories train.jsonl.gz shared/categories/shipped.json` leaves the model that ships.

Each line of the data is a commit: `repo`, `diff` (hunks, perhaps cut off), `input.files` and `input.test_files`
([path, status, added, deleted]), `label.category`, `label.subject`. All that is printed is measured on repositories
that were left out. scipy comes with lightgbm.
"""

import gzip
import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np
from scipy import sparse
from scipy.optimize import minimize

from benchmarks.category_quality import best_offsets, least_sure, report, security_log_odds
from benchmarks.commit_diffs import read_diff
from benchmarks.fit_forest import channels_of, commonest, grown, table
from benchmarks.fit_forest import numbers as numbers_of
from shared.categories.artefact import decode, encode
from shared.categories.forest import Forest
from shared.categories.model import BUCKETS, CATEGORIES, SECURITY, Model, Spoken, Table, hashed, spoken
from shared.categories.shape import shape
from shared.categories.tokens import Words, read_words

BINS = 8
FOLDS = 5
# The shape speaks as loud as two channels of words together; chosen among 1, 1.5, 2, 4.
SHAPE_SCALE = 2.0
# Security is 2 % of the rows: louder while fitting, taken back from the bias afterwards.
SECURITY_WEIGHT = 5.0
PENALTY = {"with_title": 2e-4, "without_title": 5e-4}
STEPS = 60
# With a title the trees alone did worse than the logistic model.
WITH_TREES = ("without_title",)
# What the trees have to say in it, and round offsets: chosen on the folds that they are reported on. Offsets chosen on
# the other folds lost accuracy on those left out.
SHARE = 0.5
OFFSETS = {"without_title": np.array([0.0, 0.4, 0.2, 2.0])}


class Rows(NamedTuple):
    """`spoken` holds the words of each change with its title; the channels of the title are left out where need be."""

    words: dict[str, sparse.csr_matrix]
    plain: dict[str, sparse.csr_matrix]
    spoken: list[dict[str, Spoken]]
    shapes: np.ndarray
    labels: np.ndarray
    repositories: np.ndarray


class Fit(NamedTuple):
    edges: np.ndarray
    words: np.ndarray
    bins: np.ndarray
    bias: np.ndarray


def main(data: Path, out: Path) -> None:
    rows = read(data)
    tables: dict[str, Table] = {}
    for kind in PENALTY:
        left_out = both_cross_fitted(rows, kind)
        offsets = OFFSETS[kind] if kind in OFFSETS else best_offsets(left_out, rows.labels)
        report(kind, rows.labels, folds(rows.repositories), left_out, OFFSETS.get(kind))
        fit = fitted(rows, kind, np.arange(len(rows.labels)))
        tables[kind] = Table(
            words=fit.words,
            bins=fit.bins,
            bias=fit.bias,
            offsets=offsets,
            floors=least_sure(left_out, offsets),
            security=np.percentile(security_log_odds(left_out), np.arange(101)),
            share=np.array(SHARE),
            forest=Forest(**whole_forest(rows, kind)) if kind in WITH_TREES else None,
        )
    sha256, written = encode(Model(edges=fit.edges, **tables))
    decode(written, sha256=sha256)
    out.write_bytes(written)
    print(f"{out}: {len(written) / 1024:.0f} KiB, sha256 {sha256}")


def read(data: Path) -> Rows:
    words: dict[str, list[sparse.csr_matrix]] = {kind: [] for kind in PENALTY}
    plain: dict[str, list[sparse.csr_matrix]] = {kind: [] for kind in PENALTY}
    said: list[dict[str, Spoken]] = []
    shapes, labels, repositories = [], [], []
    for commit in commits(data):
        diff = read_diff(commit)
        read_ = read_words(diff, commit["label"]["subject"])
        said.append(spoken(read_))
        for kind, found in words.items():
            plain[kind].append(bag(read_, kind == "with_title"))
            found.append(row({channel: said[-1][channel] for channel in channels_of(kind)}))
        seen = shape(diff, read_)
        shapes.append(list(seen.values()))
        labels.append(CATEGORIES.index(commit["label"]["category"]))
        repositories.append(commit["repo"])
    stacked, bags = ({k: sparse.vstack(found).tocsr() for k, found in each.items()} for each in (words, plain))
    return Rows(stacked, bags, said, np.array(shapes, np.float32), np.array(labels), np.array(repositories))


def commits(data: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(data, "rt") as lines:
        yield from map(json.loads, lines)


def row(said: dict[str, Spoken]) -> sparse.csr_matrix:
    buckets, weights = hashed(said)
    return sparse.csr_matrix((weights, (np.zeros_like(buckets), buckets)), shape=(1, BUCKETS))


def bag(words: Words, with_title: bool) -> sparse.csr_matrix:
    """1 + the logarithm of how often each word comes, of code, paths and perhaps title, in hashed buckets."""
    counts = Counter(words.added) + Counter(words.deleted) + Counter(words.paths)
    counts.update(words.title if with_title else ())
    buckets = [crc32(word.encode()) % BUCKETS for word in counts]
    weights = 1 + np.log(np.fromiter(counts.values(), np.float32, len(counts)))
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


def both_cross_fitted(rows: Rows, kind: str) -> np.ndarray:
    """(rows, 4) probabilities of the two together."""
    words = cross_fitted(rows, kind)
    if kind not in WITH_TREES:
        return words
    return blended(forest_cross_fitted(rows, kind), words)


def plain_cross_fitted(rows: Rows, kind: str) -> np.ndarray:
    """(rows, 4): what this is measured against, TF-IDF of all words and the same shape in a logistic model."""
    counts = rows.plain[kind]
    rarity = np.log(counts.shape[0] / (1 + np.asarray((counts > 0).sum(axis=0)).ravel()))
    weighed = counts @ sparse.diags(np.maximum(rarity, 0))
    lengths = np.sqrt(np.asarray(weighed.multiply(weighed).sum(axis=1)).ravel())
    plain = sparse.diags(1 / np.maximum(lengths, 1e-9)) @ weighed
    return cross_fitted(rows._replace(words={kind: plain.astype(np.float32).tocsr()}), kind)


def forest_cross_fitted(rows: Rows, kind: str) -> np.ndarray:
    fold = folds(rows.repositories)
    probabilities = np.zeros((len(fold), len(CATEGORIES)))
    for at in range(FOLDS):
        _, whole = forest_rows(rows, kind, fold != at)
        probabilities[fold == at] = grown(whole[fold != at], rows.labels[fold != at]).predict(whole[fold == at])
    return probabilities


def whole_forest(rows: Rows, kind: str) -> dict[str, np.ndarray]:
    columns, whole = forest_rows(rows, kind, np.ones(len(rows.labels), bool))
    return numbers_of(grown(whole, rows.labels), columns)


def forest_rows(rows: Rows, kind: str, known: np.ndarray) -> tuple[np.ndarray, sparse.csr_matrix]:
    """Which words are common is asked of the `known` rows alone."""
    said = [{channel: each[channel] for channel in channels_of(kind)} for each in rows.spoken]
    columns = commonest([each for each, its in zip(said, known, strict=True) if its], channels_of(kind))
    return columns, table(said, rows.shapes, columns)


def blended(trees: np.ndarray, words: np.ndarray) -> np.ndarray:
    return softmax(SHARE * np.log(trees + 1e-9) + (1 - SHARE) * np.log(words + 1e-9))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
