"""Fits the tables of a category model: a logistic model over all words and the binned shape, trees over the commonest.

From nothing for the model that ships (`benchmarks/fit_categories.py`), from a model that is there for a deployment's
own. scipy comes with lightgbm.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import minimize

from services.trainer.category_rows import Rows, channels_of
from shared.categories.model import BUCKETS, CATEGORIES, SECURITY, Floats, Table, binned, hashed

BINS = 8
# The shape speaks as loud as two channels of words together; chosen among 1, 1.5, 2, 4.
SHAPE_SCALE = 2.0
# Security is 2 % of the rows: louder while fitting, taken back from the bias afterwards.
SECURITY_WEIGHT = 5.0
LOUDNESS = np.where(np.arange(len(CATEGORIES)) == SECURITY, SECURITY_WEIGHT, 1.0)
# Of the mean over so many rows. More rows outweigh it, fewer leave the weights nearer to those they begin at.
PENALTY = {"with_title": 2e-4, "without_title": 5e-4}
PENALTY_ROWS = 17_483
STEPS = 60


class Fit(NamedTuple):
    """As the fields of a `Table` and a `Model` by these names."""

    edges: Floats
    words: Floats
    bins: Floats
    bias: Floats

    @classmethod
    def of(cls, edges: Floats, table: Table) -> "Fit":
        return cls(edges, table.words, table.bins, table.bias)


def fitted(rows: Rows, kind: str, begin: Fit | None = None, edges: Floats | None = None) -> Fit:
    """`begin`: where the weights start and are drawn to; else zero, with the rows' own edges unless some are given."""
    if edges is None:
        edges = quantiles(rows.shapes) if begin is None else begin.edges
    design = sparse.hstack([bags(rows, kind), one_hot(edges, rows.shapes)]).tocsr()
    start = None if begin is None else _flat(begin)
    weights = logistic(design, rows.labels, PENALTY[kind] * PENALTY_ROWS / len(rows), start)
    words, bins, bias = weights[:BUCKETS], weights[BUCKETS:-1] * loudness(edges), weights[-1]
    bias[SECURITY] -= np.log(SECURITY_WEIGHT)
    return Fit(edges, words, bins.reshape(len(edges), -1, len(CATEGORIES)), bias)


def _flat(fit: Fit) -> NDArray[np.float32]:
    """As `logistic` gives them."""
    bias = fit.bias.copy()
    bias[SECURITY] += np.log(SECURITY_WEIGHT)
    return np.vstack([fit.words, fit.bins.reshape(-1, len(CATEGORIES)) / loudness(fit.edges), bias]).astype(np.float32)


def scores(fit: Fit, rows: Rows, kind: str) -> Floats:
    """(rows, 4): what `shared.categories.model` computes for each."""
    places = binned(fit.edges, rows.shapes)
    shaped = fit.bins[np.arange(len(fit.edges)), places].sum(axis=1)
    return np.asarray(bags(rows, kind) @ fit.words + fit.bias + shaped)


def bags(rows: Rows, kind: str) -> sparse.csr_matrix:
    """(rows, BUCKETS)."""
    buckets, weights, sizes = hashed([said.only(channels_of(kind)) for said in rows.spoken])
    return sparse.csr_matrix((weights, buckets, np.cumsum([0, *sizes])), shape=(len(rows), BUCKETS))


def quantiles(shapes: Floats) -> Floats:
    """(shape names, BINS - 1); equal edges leave the bins between them empty, which does no harm."""
    return np.quantile(shapes, np.linspace(0, 1, BINS + 1)[1:-1], axis=0).T.astype(np.float32)


def one_hot(edges: Floats, shapes: Floats) -> sparse.csr_matrix:
    bins = edges.shape[1] + 1
    places = binned(edges, shapes) + np.arange(len(edges)) * bins
    ones = np.full(places.size, loudness(edges), np.float32)
    size = (len(shapes), len(edges) * bins)
    return sparse.csr_matrix((ones, (np.repeat(np.arange(len(shapes)), len(edges)), places.ravel())), shape=size)


def loudness(edges: Floats) -> float:
    return float(SHAPE_SCALE / np.sqrt(len(edges)))


def logistic(
    design: sparse.csr_matrix,
    labels: NDArray[np.integer],
    penalty: float,
    start: NDArray[np.float32] | None = None,
    share: Floats = LOUDNESS,
) -> NDArray[np.float32]:
    """(columns + 1, 4), the last row is the bias. Mean cross-entropy plus an L2 penalty, by L-BFGS.

    `share` (4,): how loud a row of each category is.
    """
    targets = np.eye(len(CATEGORIES), dtype=np.float32)[labels]
    share = share.astype(np.float32)[labels]
    share /= share.sum()
    turned = design.T.tocsr()
    begun = np.zeros((design.shape[1] + 1, len(CATEGORIES)), np.float32) if start is None else start

    def loss(flat: Floats) -> tuple[float, Floats]:
        weights = flat.reshape(begun.shape).astype(np.float32)
        moved = weights[:-1] - begun[:-1]
        probabilities = softmax(design @ weights[:-1] + weights[-1])
        slope = (probabilities - targets) * share[:, None]
        gradient = np.vstack([turned @ slope + penalty * moved, slope.sum(axis=0)])
        surprise = -(share * np.log(np.maximum((probabilities * targets).sum(axis=1), 1e-12))).sum()
        return float(surprise + penalty / 2 * (moved**2).sum()), gradient.ravel().astype(np.float64)

    found = minimize(loss, begun.ravel().astype(np.float64), jac=True, method="L-BFGS-B", options={"maxiter": STEPS})
    return np.asarray(found.x.reshape(begun.shape), np.float32)


def softmax(scores: Floats) -> Floats:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def blended(trees: Floats, words: Floats, share: float) -> Floats:
    """Both (rows, 4) probabilities: their logarithms averaged."""
    return softmax(share * np.log(trees + 1e-9) + (1 - share) * np.log(words + 1e-9))
