"""A model's trees are checked number by number before LightGBM sees them: it checks nothing itself."""

import re
from typing import Any

import lightgbm
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.trees import MAX_LEAVES, MAX_TREES, Tree, TreesError, read, write

NAMES = ["size", "files", "age"]
# The root asks for the size, its right child for the files.
TREE = Tree(
    feature=[0, 1],
    threshold=[10.0, 2.5],
    decision=[10, 2],
    left=[-1, -2],
    right=[1, -3],
    leaf_value=[0.5, 0.1, -0.7],
    leaf_count=[50, 30, 20],
)
TEXT = write([TREE, TREE], NAMES)
LONE = Tree(feature=[], threshold=[], decision=[], left=[], right=[], leaf_value=[0.25], leaf_count=[1])


def fitted(**parameters: Any) -> tuple[lightgbm.Booster, Any]:
    """As the trainer makes them: missing values, whole numbers, constant columns."""
    random = np.random.default_rng(7)
    x = random.normal(size=(2000, len(NAMES)))
    x[:, 1] = np.round(np.abs(x[:, 1]) * 3)
    x[random.random(x.shape) < 0.2] = np.nan
    y = (np.nan_to_num(x[:, 0]) + np.isnan(x[:, 2]) + random.normal(size=2000) > 0.3).astype(float)
    data = lightgbm.Dataset(x, y, feature_name=NAMES)
    return lightgbm.train({"objective": "binary", "num_threads": 1, "verbose": -1} | parameters, data, 20), x


FITS: dict[str, dict[str, Any]] = {
    "plain": {},
    "bagged": {"bagging_fraction": 0.6, "bagging_freq": 1, "feature_fraction": 0.7},
    "monotone": {"monotone_constraints": [1, 0, -1]},
    "missing as zero": {"zero_as_missing": True},
    "nothing missing": {"use_missing": False},
    "nothing to learn": {"min_data_in_leaf": 1999},
}


@pytest.mark.parametrize("parameters", FITS.values(), ids=FITS)
def test_what_is_written_anew_answers_and_explains_as_the_fit_did(parameters: dict[str, Any]) -> None:
    booster, x = fitted(**parameters)
    again = lightgbm.Booster(model_str=write(read(booster.model_to_string(), NAMES), NAMES))
    assert np.array_equal(again.predict(x, raw_score=True), booster.predict(x, raw_score=True))
    assert np.array_equal(again.predict(x, pred_contrib=True), booster.predict(x, pred_contrib=True))


def test_what_was_written_is_read_back() -> None:
    assert read(write([TREE, LONE], NAMES), NAMES) == [TREE, LONE]


# What is wrong: the text's place, what stands there instead, the reason.
BAD = {
    "a cycle": ("right_child=1 -3", "right_child=0 -3", "after its parent"),
    "a child before its parent": ("left_child=-1 -2", "left_child=-1 0", "after its parent"),
    "a node out of range": ("right_child=1 -3", "right_child=2 -3", "each node and each leaf once"),
    "a leaf out of range": ("right_child=1 -3", "right_child=1 -4", "each node and each leaf once"),
    "a leaf twice, another never": ("right_child=1 -3", "right_child=1 -2", "each node and each leaf once"),
    "a feature out of range": ("split_feature=0 1", "split_feature=0 3", "feature outside 0 to 2"),
    "a feature below zero": ("split_feature=0 1", "split_feature=-1 1", "feature outside 0 to 2"),
    "a threshold of NaN": ("threshold=10.0 2.5", "threshold=nan 2.5", "threshold that is not finite"),
    "a threshold of -inf": ("threshold=10.0 2.5", "threshold=-inf 2.5", "threshold that is not finite"),
    "a leaf of NaN": ("leaf_value=0.5 0.1", "leaf_value=nan 0.1", "leaf value beyond"),
    "a leaf of inf": ("leaf_value=0.5 0.1", "leaf_value=inf 0.1", "leaf value beyond"),
    "a leaf too large to add up": ("leaf_value=0.5 0.1", "leaf_value=1e300 0.1", "leaf value beyond"),
    "a leaf without rows": ("leaf_count=50 30 20", "leaf_count=50 30 0", "leaf of no rows"),
    "more rows than are counted": ("leaf_count=50 30 20", "leaf_count=2147483647 30 20", "leaf of no rows"),
    "counts that do not add up": ("internal_count=100 50", "internal_count=101 50", "internal_count"),
    "a categorical split": ("decision_type=10 2", "decision_type=11 2", "decision"),
    "a decision that is none": ("decision_type=10 2", "decision_type=12 2", "decision"),
    "too few numbers": ("threshold=10.0 2.5", "threshold=10.0", "threshold has 1 numbers instead of 2"),
    "too many numbers": ("leaf_value=0.5 0.1", "leaf_value=0.5 0.1 0.1", "leaf_value has 4 numbers instead of 3"),
    "a word for a number": ("threshold=10.0 2.5", "threshold=10.0 two", "threshold: "),
    "an index with a point": ("left_child=-1 -2", "left_child=-1 -2.0", "left_child: "),
    "another count of leaves": ("num_leaves=3", "num_leaves=4", "numbers instead of 3"),
    "no leaf": ("num_leaves=3", "num_leaves=0", "0 leaves"),
    "too many leaves": ("num_leaves=3", f"num_leaves={MAX_LEAVES + 1}", "leaves: there must be"),
    "categories": ("num_cat=0", "num_cat=1", "num_cat"),
    "linear leaves": ("is_linear=0", "is_linear=1", "is_linear"),
    "a line twice": ("num_cat=0", "num_cat=0\nnum_cat=0", "num_cat stands there twice"),
    "another number of the tree": ("Tree=1", "Tree=7", "is called '7'"),
    "other features": ("feature_names=size files age", "feature_names=size age files", "feature_names"),
    "more features": ("max_feature_idx=2", "max_feature_idx=3", "max_feature_idx"),
    "several classes": ("num_class=1", "num_class=3", "num_class"),
    "several trees an iteration": ("num_tree_per_iteration=1", "num_tree_per_iteration=2", "num_tree_per_iteration"),
    "the mean of the trees": ("objective=", "average_output\nobjective=", "mean"),
    "another version": ("version=v4", "version=v3", "version"),
    "a text cut off": ("end of trees", "", "ends before"),
}


@pytest.mark.parametrize(("place", "instead", "reason"), BAD.values(), ids=BAD)
def test_what_is_no_forest_over_these_features_is_refused_and_says_why(place: str, instead: str, reason: str) -> None:
    assert place in TEXT
    with pytest.raises(TreesError, match=re.escape(reason)):
        read(TEXT.replace(place, instead, 1), NAMES)


def test_no_tree_and_too_many_are_refused() -> None:
    for text in (write([], NAMES), write([LONE] * (MAX_TREES + 1), NAMES)):
        with pytest.raises(TreesError, match="trees: there must be"):
            read(text, NAMES)


@given(st.data())
def test_whatever_stands_in_the_text_it_is_refused_or_every_number_is_in_range(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(TEXT) - 1))
    instead = data.draw(st.text("0123456789-. =\nent", max_size=3))
    try:
        trees = read(TEXT[:at] + instead + TEXT[at + data.draw(st.integers(0, 3)) :], NAMES)
    except TreesError:
        return
    assert read(write(trees, NAMES), NAMES) == trees
    for tree in trees:
        assert all(0 <= f < len(NAMES) for f in tree.feature)
        children = sorted([*tree.left, *tree.right])
        assert children == [*range(-len(tree.leaf_value), 0), *range(1, len(tree.feature))]
