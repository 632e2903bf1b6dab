"""Boosted trees over the shape of a change and its commonest words, walked all at once.

The trees are fitted with LightGBM (`services/trainer/category_trees.py`) and stand here as bare numbers: nothing of its
own loader, which trusts what it reads, runs where changes are categorized.
"""

from functools import cached_property

import msgspec
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Ints = NDArray[np.signedinteger]


class Forest(msgspec.Struct, frozen=True, dict=True):
    """Nodes of all trees in one row of arrays; a leaf leads to itself. Tree i speaks for class i % 4.

    `columns` (words,): the CRC-32 of the words that are looked at, rising; they stand behind the shape's values.
    """

    columns: NDArray[np.unsignedinteger]
    roots: Ints
    feature: Ints
    threshold: Floats
    left: Ints
    right: Ints
    value: Floats

    def scores(self, shape: Floats, crcs: NDArray[np.unsignedinteger], weights: Floats) -> Floats:
        """(4,) log-probabilities but for a constant. `shape` (names,), `crcs` and `weights` (words of the change,)."""
        row = np.zeros(len(shape) + len(self.columns), np.float32)
        row[: len(shape)] = shape
        places = np.searchsorted(self.columns, crcs)
        known = self.columns[np.minimum(places, len(self.columns) - 1)] == crcs
        row[len(shape) + places[known]] = weights[known]
        return np.asarray(self.value.take(self._leaves(row)).reshape(-1, 4).sum(axis=0))

    def _leaves(self, row: Floats) -> Ints:
        """Where all trees end. Most values are 0, so only the nodes that ask for others are asked."""
        nodes, values = self._asking.about(row)
        onward = self._resting.copy()
        onward[nodes] = np.where(values <= self.threshold.take(nodes), self.left.take(nodes), self.right.take(nodes))
        at = self.roots
        for _ in range(self._depth):
            at = onward.take(at)
        return at

    @cached_property
    def _resting(self) -> Ints:
        """Where each node leads a change whose values are all 0."""
        return np.where(self.threshold >= 0, self.left, self.right)

    @cached_property
    def _asking(self) -> "_Asking":
        return _Asking.of(self.feature, np.flatnonzero(self.left != np.arange(len(self.left))))

    @cached_property
    def _depth(self) -> int:
        """Steps of the longest walk."""
        at, steps = np.unique(self.roots), 0
        while (self.left[at] != at).any():
            at = np.unique([self.left[at], self.right[at]])
            steps += 1
        return steps

    def check(self, width: int) -> None:
        """Raises `ValueError` unless every walk ends, for any change: children stand behind their parent, or are it.

        `width`: how many values the shape has.
        """
        nodes, own = len(self.feature), np.arange(len(self.feature))
        sizes = {len(each) for each in (self.threshold, self.left, self.right, self.value)}
        within = [self.roots, self.left, self.right]
        leaf = (self.left == own) & (self.right == own)
        onward = (self.left > own) & (self.right > own)
        if not (
            sizes == {nodes}
            and len(self.roots) > 0
            and len(self.roots) % 4 == 0
            and len(self.columns) > 0
            and all(((each >= 0) & (each < nodes)).all() for each in within)
            and (leaf | onward).all()
            and ((self.feature >= 0) & (self.feature < width + len(self.columns))).all()
            and (np.diff(self.columns.astype(np.int64)) > 0).all()
            and np.isfinite(self.value).all()
            and not np.isnan(self.threshold).any()
        ):
            raise ValueError("the trees do not hold together")


class _Asking(msgspec.Struct, frozen=True):
    """The nodes that ask for feature i are `nodes[begins[i] : begins[i + 1]]`."""

    nodes: Ints
    begins: Ints

    @classmethod
    def of(cls, feature: Ints, inner: Ints) -> "_Asking":
        nodes = inner[np.argsort(feature[inner], kind="stable")]
        return cls(nodes, np.searchsorted(feature[nodes], np.arange(feature.max() + 2)))

    def about(self, row: Floats) -> tuple[Ints, Floats]:
        """The nodes that ask for what is not 0 in `row`, and what it is."""
        features = np.flatnonzero(row[: len(self.begins) - 1] != 0)
        begins = self.begins.take(features)
        counts = self.begins.take(features + 1) - begins
        ends = counts.cumsum()
        places = np.arange(counts.sum()) + np.repeat(begins - ends + counts, counts)
        return self.nodes.take(places), np.repeat(row.take(features), counts)
