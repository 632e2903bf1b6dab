"""Boosted trees over the shape of a change and its commonest words, walked all at once.

The trees are fitted with LightGBM (`services/trainer/category_trees.py`) and stand here as bare numbers: nothing of its
own loader, which trusts what it reads, runs where changes are categorized.
"""

from functools import cached_property

import msgspec
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Ints = NDArray[np.integer]


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
        places = self.columns.searchsorted(crcs)
        known = self.columns.take(places, mode="clip") == crcs
        leaves = self._walk.ends(shape, places[known] + len(shape), weights[known])
        # One after the other, as they were always added: the last digits depend on it.
        return np.asarray(np.add.accumulate(self._walk.value.take(leaves), axis=1)[:, -1])

    @cached_property
    def _walk(self) -> "_Walk":
        return _Walk.of(self)

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


class _Walk(msgspec.Struct, frozen=True):
    """The nodes once more, those that ask for one feature side by side: `begins[i]` to `begins[i + 1]` for feature i.

    The leaves stand behind them. `resting` (nodes,): where each leads a change whose values are all 0; `roots`
    (4, trees / 4): those of one class in a row.
    """

    begins: Ints
    feature: Ints
    threshold: Floats
    left: Ints
    right: Ints
    resting: Ints
    roots: Ints
    value: Floats
    depth: int

    @classmethod
    def of(cls, forest: Forest) -> "_Walk":
        leaf = forest.left == np.arange(len(forest.left))
        order = np.lexsort((forest.feature, leaf))
        # As narrow as it goes: the walk is to stay within the cache nearest to the processor.
        place = np.empty(len(order), np.min_scalar_type(len(order)))
        place[order] = np.arange(len(order))
        left, right, roots = place[forest.left[order]], place[forest.right[order]], place[forest.roots]
        feature, threshold = forest.feature[order].astype(np.intp), forest.threshold[order]
        return cls(
            begins=np.searchsorted(feature[: np.count_nonzero(~leaf)], np.arange(feature.max() + 2)),
            feature=feature,
            threshold=threshold,
            left=left,
            right=right,
            resting=np.where(threshold >= 0, left, right),
            roots=roots.reshape(-1, 4).T.copy(),
            value=forest.value[order],
            depth=_depth(roots, left, right),
        )

    def ends(self, shape: Floats, features: Ints, values: Floats) -> Ints:
        """The leaf of each tree. Most words are not there: of nodes that ask for words few have to be asked."""
        onward = self.resting.copy()
        ask = int(self.begins.take(len(shape), mode="clip"))
        low = shape.take(self.feature[:ask]) <= self.threshold[:ask]
        onward[:ask] = np.where(low, self.left[:ask], self.right[:ask])
        begins = self.begins.take(features, mode="clip")
        counts = self.begins.take(features + 1, mode="clip") - begins
        nodes = np.arange(counts.sum()) + (begins + counts - counts.cumsum()).repeat(counts)
        low = values.repeat(counts) <= self.threshold.take(nodes)
        onward[nodes] = np.where(low, self.left.take(nodes), self.right.take(nodes))
        at = self.roots
        for _ in range(self.depth):
            at = onward.take(at)
        return at


def _depth(roots: Ints, left: Ints, right: Ints) -> int:
    """Steps of the longest walk."""
    at, steps = np.unique(roots), 0
    while (left[at] != at).any():
        at = np.unique([left[at], right[at]])
        steps += 1
    return steps
