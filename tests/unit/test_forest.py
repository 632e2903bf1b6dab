"""Trees as bare numbers: they say what LightGBM said, and numbers that do not hold together are refused."""

import lightgbm
import msgspec
import numpy as np
import pytest

from services.trainer.category_trees import forest as numbers_of
from services.trainer.category_trees import grown
from services.trainer.category_trees import scores as tree_scores
from shared.categories.forest import Forest

SHAPE = 3
COLUMNS = np.array([7, 500, 4_000_000_000], np.uint32)


@pytest.fixture(scope="module")
def fitted() -> tuple[list[lightgbm.Booster], np.ndarray]:
    rng = np.random.default_rng(3)
    rows = rng.integers(0, 5, (800, SHAPE + len(COLUMNS))).astype(np.float32)
    labels = ((rows[:, 0] > 2) + 2 * (rows[:, 4] > rows[:, 1])).astype(int)
    return grown(rows, labels), rows


@pytest.fixture(scope="module")
def forest(fitted: tuple[list[lightgbm.Booster], np.ndarray]) -> Forest:
    return numbers_of(fitted[0], COLUMNS)


def test_the_numbers_say_what_the_trees_said(fitted: tuple[list[lightgbm.Booster], np.ndarray], forest: Forest) -> None:
    boosters, rows = fitted
    expected = tree_scores(boosters, rows[:50])
    for row, scores in zip(rows[:50], expected, strict=True):
        said = row[SHAPE:] > 0
        found = forest.scores(row[:SHAPE], COLUMNS[said], row[SHAPE:][said])
        assert found == pytest.approx(scores, abs=1e-5)


def test_every_tree_is_walked_as_node_by_node(
    fitted: tuple[list[lightgbm.Booster], np.ndarray], forest: Forest
) -> None:
    rows = fitted[1][:50] * np.where(np.arange(SHAPE + len(COLUMNS)) < SHAPE, [[1], [-1]] * 25, 1).astype(np.float32)
    for row in rows:
        said = row[SHAPE:] > 0
        found = forest.scores(row[:SHAPE], COLUMNS[said], row[SHAPE:][said])
        leaves = np.array([forest.value[walked(forest, root, row)] for root in forest.roots])
        assert found.tolist() == leaves.reshape(-1, 4).sum(axis=0).tolist()


def walked(forest: Forest, at: int, row: np.ndarray) -> int:
    while forest.left[at] != at:
        at = (forest.left if row[forest.feature[at]] <= forest.threshold[at] else forest.right)[at]
    return at


def test_words_that_nobody_looks_at_change_nothing(forest: Forest) -> None:
    shape = np.ones(SHAPE, np.float32)
    bare = forest.scores(shape, COLUMNS[:0], np.zeros(0, np.float32))
    strange = np.array([1, 499, 501, 4_294_967_295], np.uint32)
    assert forest.scores(shape, strange, np.full(4, 9, np.float32)) == pytest.approx(bare)


def test_whole_trees_hold_together(forest: Forest) -> None:
    forest.check(SHAPE)


@pytest.mark.parametrize(
    ("field", "at", "value"),
    [("left", 0, 0), ("right", 0, 10**6), ("feature", 0, 99), ("roots", 0, -1), ("value", 1, np.nan)],
)
def test_numbers_that_do_not_hold_together_are_refused(forest: Forest, field: str, at: int, value: float) -> None:
    """A node below itself would be as bad as one out of bounds."""
    changed = getattr(forest, field).copy()
    changed[at] = value
    with pytest.raises(ValueError, match="hold together"):
        msgspec.structs.replace(forest, **{field: changed}).check(SHAPE)


def test_two_parents_of_one_node_are_refused(forest: Forest) -> None:
    left = forest.left.copy()
    left[0] = forest.right[0]
    with pytest.raises(ValueError, match="hold together"):
        msgspec.structs.replace(forest, left=left).check(SHAPE)


@pytest.mark.parametrize("leaves", [1, 16, 17, 64, 65])
def test_a_tree_has_64_leaves_at_most(leaves: int) -> None:
    """Each question of the first tree is asked of what was beyond the one before; the other three say nothing."""
    at = np.arange(2 * leaves - 1)
    asks = (at % 2 == 0) & (at < at[-1])
    one = {
        "feature": np.zeros(len(at)), "threshold": at / 2, "left": np.where(asks, at + 1, at),
        "right": np.where(asks, at + 2, at), "value": (at + 1) / 2,
    }  # fmt: skip
    rest = {name: len(at) + np.arange(3) if name in ("left", "right") else np.zeros(3) for name in one}
    kinds = {"left": np.int32, "right": np.int32, "feature": np.int16}
    nodes = {name: np.append(one[name], rest[name]).astype(kinds.get(name, np.float32)) for name in one}
    chain = Forest(COLUMNS, np.array([0, *(len(at) + np.arange(3))], np.int32), **nodes)
    if leaves > 64:
        with pytest.raises(ValueError, match="hold together"):
            chain.check(SHAPE)
        return
    chain.check(SHAPE)
    for value in range(leaves):
        row = np.full(SHAPE, value, np.float32)
        leaf = chain.value[walked(chain, 0, row)]
        assert chain.scores(row, COLUMNS[:0], np.zeros(0, np.float32)).tolist() == [leaf, 0, 0, 0]
