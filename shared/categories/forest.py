"""Boosted trees over the shape of a change and its commonest words, walked all at once.

The trees are fitted with LightGBM (`benchmarks/fit_forest.py`) and stand here as bare numbers: nothing of its own
loader, which trusts what it reads, runs where changes are categorized.
"""

import msgspec
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Ints = NDArray[np.signedinteger]


class Forest(msgspec.Struct, frozen=True):
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
        return np.asarray(self.value[self._leaves(row)].reshape(-1, 4).sum(axis=0))

    def _leaves(self, row: Floats) -> Ints:
        """Every node is asked at once, which takes less time than to ask those on the way one step after the other."""
        onward = np.where(row[self.feature] <= self.threshold, self.left, self.right)
        at = self.roots
        while True:
            following = onward[at]
            if np.array_equal(following, at):
                return at
            at = following

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
