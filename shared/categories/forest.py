"""Boosted trees over the shape of a change and its commonest words, asked all at once.

The trees are fitted with LightGBM (`services/trainer/category_trees.py`) and stand here as bare numbers: nothing of its
own loader, which trusts what it reads, runs where changes are categorized.
"""

from functools import cached_property

import msgspec
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Ints = NDArray[np.integer]
# Of one tree: as many as the widest integer has bits.
MOST_LEAVES = 64


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
        values = np.zeros(len(shape) + len(self.columns), np.float32)
        values[: len(shape)] = shape
        places = self.columns.searchsorted(crcs)
        known = self.columns.take(places, mode="clip") == crcs
        values[places[known] + len(shape)] = weights[known]
        # One after the other, as they were always added: the last digits depend on it.
        return np.asarray(np.add.accumulate(self._questions.answers(values), axis=1)[:, -1])

    @cached_property
    def _questions(self) -> "_Questions":
        return _Questions.of(self)

    def check(self, width: int) -> None:
        """Raises `ValueError` unless these are trees that answer for any change: children stand behind their parent.

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
            and np.bincount(np.concatenate([self.roots, self.left[onward], self.right[onward]])).max() == 1
            and ((self.feature >= 0) & (self.feature < width + len(self.columns))).all()
            and (np.diff(self.columns.astype(np.int64)) > 0).all()
            and np.isfinite(self.value).all()
            and not np.isnan(self.threshold).any()
            and _Leaves.of(self).count.max() <= MOST_LEAVES
        ):
            raise ValueError("the trees do not hold together")


class _Leaves(msgspec.Struct, frozen=True):
    """(nodes,) each: a node's tree, the number of the first leaf below it, from the left, and how many there are."""

    tree: Ints
    first: Ints
    count: Ints

    @classmethod
    def of(cls, forest: Forest) -> "_Leaves":
        left, right = forest.left, forest.right
        inner = left != np.arange(len(left))
        tree, first, count = (np.full(len(left), each, np.intp) for each in (0, 0, 1))
        tree[forest.roots] = np.arange(len(forest.roots))
        # The inner nodes of each depth.
        levels = [forest.roots[inner[forest.roots]]]
        while len(at := levels[-1]):
            below = np.concatenate([left[at], right[at]])
            levels.append(below[inner[below]])
        for at in reversed(levels):
            count[at] = count[left[at]] + count[right[at]]
        for at in levels:
            tree[left[at]] = tree[right[at]] = tree[at]
            first[left[at]], first[right[at]] = first[at], first[at] + count[left[at]]
        return cls(tree, first, count)


class _Questions(msgspec.Struct, frozen=True):
    """What the trees ask, in columns; the trees of one class stand side by side.

    A value beyond the threshold puts the leaves on the left of a question out of reach: `kept` has a bit for each of
    the others. The first leaf that all questions of a tree keep is the one that a walk down would end at (QuickScorer,
    Lucchese et al., 2015), and to ask all of them takes numpy less time than to walk. `value`: row by row the trees'
    leaves, of which `begins` (trees,) are the first.
    """

    feature: Ints
    threshold: Floats
    kept: NDArray[np.unsignedinteger]
    begins: Ints
    value: Floats

    @classmethod
    def of(cls, forest: Forest) -> "_Questions":
        leaves, trees = _Leaves.of(forest), len(forest.roots)
        place = np.arange(trees).reshape(4, -1).T.ravel()[leaves.tree]
        inner = np.flatnonzero(forest.left != np.arange(len(forest.left)))
        inner = inner[place[inner].argsort(kind="stable")]
        columns = place[inner]
        rows = np.arange(len(inner)) - columns.searchsorted(columns)
        most = int(leaves.count.max())
        size = (rows.max(initial=0) + 1, trees)
        # Where a tree asks less than another, a question that any value answers.
        feature, threshold = np.zeros(size, np.intp), np.full(size, np.inf, np.float32)
        kept = np.zeros(size, np.min_scalar_type(2**most - 1))
        feature[rows, columns], threshold[rows, columns] = forest.feature[inner], forest.threshold[inner]
        one, lost = np.uint64(1), leaves.count[forest.left[inner]].astype(np.uint64)
        kept[rows, columns] = ~(((one << lost) - one) << leaves.first[inner].astype(np.uint64)).astype(kept.dtype)
        value, ends = np.zeros((trees, most), np.float32), np.flatnonzero(forest.left == np.arange(len(forest.left)))
        value[place[ends], leaves.first[ends]] = forest.value[ends]
        return cls(feature, threshold, kept, np.arange(trees) * most, value.ravel())

    def answers(self, values: Floats) -> Floats:
        """(4, trees / 4): the leaf's value of each tree."""
        within = values.take(self.feature, mode="clip") <= self.threshold
        reached = np.bitwise_and.reduce(self.kept | -within.astype(self.kept.dtype), axis=0)
        leaves = np.bitwise_count((reached - 1) & ~reached)
        return np.asarray(self.value.take(self.begins + leaves).reshape(4, -1))
