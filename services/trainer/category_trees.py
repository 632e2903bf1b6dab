"""Fits the trees of `shared/categories/forest.py` with LightGBM, and turns them into bare numbers."""

from collections.abc import Sequence
from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from shared.categories.forest import Forest
from shared.categories.model import CATEGORIES, Spoken

# How many of the commonest words of a channel are looked at.
COMMONEST = {"gained": 700, "lost": 700, "kept": 200, "paths": 500, "title": 1000, "phrase": 500, "opening": 150}
ROUNDS = 250
# So many fits, each with chances of its own, and the mean of what they say.
SEEDS = (1, 2)
PARAMETERS = {
    "objective": "multiclass",
    "num_class": len(CATEGORIES),
    "learning_rate": 0.06,
    "num_leaves": 12,
    "min_data_in_leaf": 40,
    "feature_fraction": 0.08,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "lambda_l2": 5.0,
    "max_bin": 31,
    "num_threads": 1,
    "deterministic": True,
    "verbosity": -1,
}
FIELDS = ("columns", "roots", "feature", "threshold", "left", "right", "value")

Node = tuple[int, float, int, int, float]


def commonest(spoken: Sequence[Spoken], channels: Sequence[str]) -> NDArray[np.uint32]:
    """The CRC-32 of the words that stand in most changes, of each channel, rising."""
    chosen = []
    for channel in channels:
        words, changes = np.unique(
            np.concatenate([each.crcs[each.places[channel]] for each in spoken]), return_counts=True
        )
        chosen.append(words[np.argsort(-changes, kind="stable")[: COMMONEST[channel]]])
    return np.unique(np.concatenate(chosen))


def table(
    spoken: Sequence[Spoken], shapes: NDArray[np.floating], columns: NDArray[np.uint32], channels: Sequence[str]
) -> sparse.csr_matrix:
    """(changes, shape values + columns)."""
    rows = [_row(each.only(channels), columns) for each in spoken]
    return sparse.hstack([sparse.csr_matrix(shapes), sparse.vstack(rows)]).tocsr().astype(np.float32)


def _row(said: Spoken, columns: NDArray[np.uint32]) -> sparse.csr_matrix:
    known = np.isin(said.crcs, columns)
    places = np.searchsorted(columns, said.crcs[known])
    return sparse.csr_matrix((said.weights[known], (np.zeros_like(places), places)), shape=(1, len(columns)))


def grown(rows: sparse.csr_matrix, labels: NDArray[np.integer]) -> list[lightgbm.Booster]:
    return [lightgbm.train({**PARAMETERS, "seed": seed}, lightgbm.Dataset(rows, labels), ROUNDS) for seed in SEEDS]


def scores(boosters: Sequence[lightgbm.Booster], rows: sparse.csr_matrix) -> NDArray[np.floating]:
    """(rows, 4): what `forest` of them says."""
    return np.asarray(np.mean([booster.predict(rows, raw_score=True) for booster in boosters], axis=0))


def forest(boosters: Sequence[lightgbm.Booster], columns: NDArray[np.uint32]) -> Forest:
    """Parents stand before their children."""
    nodes: list[Node] = []
    roots = [_add(nodes, tree["tree_structure"]) for each in boosters for tree in each.dump_model()["tree_info"]]
    feature, threshold, left, right, value = zip(*nodes, strict=True)
    kept = (columns, roots, feature, threshold, left, right, np.array(value) / len(boosters))
    kinds = (np.uint32, np.int32, np.int16, np.float32, np.int32, np.int32, np.float32)
    return Forest(**{name: np.array(each, kind) for name, each, kind in zip(FIELDS, kept, kinds, strict=True)})


def _add(nodes: list[Node], node: dict[str, Any]) -> int:
    at = len(nodes)
    if "leaf_value" in node:
        nodes.append((0, 0.0, at, at, node["leaf_value"]))
        return at
    nodes.append((0, 0.0, 0, 0, 0.0))
    left, right = _add(nodes, node["left_child"]), _add(nodes, node["right_child"])
    nodes[at] = (node["split_feature"], node["threshold"], left, right, 0.0)
    return at
