"""LightGBM's text format, read strictly and written anew: what LightGBM loads was checked number by number.

LightGBM trusts its files: an index out of range is an access out of range, a cycle never ends. So nothing of a stored
text reaches it; only the numbers that `read` let through do, in the text that `write` makes of them.
"""

import sys
from collections.abc import Callable, Sequence
from math import inf, isfinite
from typing import TypeVar

import msgspec

# LightGBM writes `inf` where a split only asks whether the value is missing. No value is above this one.
LARGEST = sys.float_info.max
MAX_TREES = 5_000
MAX_LEAVES = 1_024
# Of a leaf, in log-odds. No fit comes near; sums of such numbers stay finite.
MAX_VALUE = 1e6
MAX_COUNT = 2**31 - 1
# Bit 1: where a missing value goes. Bits 2 and 3: what counts as missing: nothing, zero or NaN. Bit 0 is categorical.
DECISIONS = frozenset({0, 2, 4, 6, 8, 10})

T = TypeVar("T", int, float)


class TreesError(ValueError):
    """Says where the text is not a forest that may be served."""


class Tree(msgspec.Struct, frozen=True):
    """Nodes by index, each child after its parent; a child below 0 is the leaf `-child - 1`. A lone leaf has no nodes.

    `left` is taken where the feature is at most `threshold`; `leaf_count` are the rows of the fit that ended there.
    """

    feature: list[int]
    threshold: list[float]
    decision: list[int]
    left: list[int]
    right: list[int]
    leaf_value: list[float]
    leaf_count: list[int]

    def node_count(self) -> list[int]:
        """Rows of the fit that passed each node: children come after their parents, so the sums go backwards."""
        counts = [0] * len(self.feature)
        for node in reversed(range(len(counts))):
            for child in (self.left[node], self.right[node]):
                counts[node] += counts[child] if child >= 0 else self.leaf_count[-child - 1]
        return counts


def read(text: str, features: Sequence[str]) -> list[Tree]:
    """The trees of a model with one output over `features`. Raises `TreesError`."""
    head, *blocks = text.partition("\nend of trees\n")[0].split("\nTree=")
    if "\nend of trees\n" not in text:
        raise TreesError("the text ends before its trees do")
    _check_head(_fields(head, "head"), features)
    if not 0 < len(blocks) <= MAX_TREES:
        raise TreesError(f"{len(blocks)} trees: there must be 1 to {MAX_TREES}")
    return [_tree(number, block, len(features)) for number, block in enumerate(blocks)]


def write(trees: Sequence[Tree], features: Sequence[str]) -> str:
    """What LightGBM loads; reading it back gives the same trees."""
    head = {
        "version": "v4",
        "num_class": 1,
        "num_tree_per_iteration": 1,
        "label_index": 0,
        "max_feature_idx": len(features) - 1,
        "objective": "binary sigmoid:1",
        "feature_names": " ".join(features),
        "feature_infos": " ".join(["[-inf:inf]"] * len(features)),
    }
    blocks = (f"\nTree={number}\n{_lines(_described(tree))}\n" for number, tree in enumerate(trees))
    return f"tree\n{_lines(head)}{''.join(blocks)}\nend of trees\n"


def _lines(fields: dict[str, object]) -> str:
    return "".join(f"{name}={value}\n" for name, value in fields.items())


def _described(tree: Tree) -> dict[str, object]:
    lists: dict[str, Sequence[float]] = {
        "split_feature": tree.feature,
        "threshold": tree.threshold,
        "decision_type": tree.decision,
        "left_child": tree.left,
        "right_child": tree.right,
        "leaf_value": tree.leaf_value,
        "leaf_count": tree.leaf_count,
        "internal_count": tree.node_count(),
    }
    written: dict[str, object] = {name: " ".join(map(repr, numbers)) for name, numbers in lists.items()}
    return {"num_leaves": len(tree.leaf_value), "num_cat": 0, **written, "is_linear": 0, "shrinkage": 1}


def _fields(text: str, place: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in text.splitlines():
        name, _, value = line.partition("=")
        if name in found:
            raise TreesError(f"{place}: {name} stands there twice")
        found[name] = value
    return found


def _check_head(head: dict[str, str], features: Sequence[str]) -> None:
    wanted = {"version": "v4", "num_class": "1", "num_tree_per_iteration": "1"}
    wanted |= {"max_feature_idx": str(len(features) - 1), "feature_names": " ".join(features)}
    for name, value in wanted.items():
        if head.get(name) != value:
            raise TreesError(f"head: {name} is {head.get(name, 'missing')[:80]!r} instead of {value[:80]!r}")
    if "average_output" in head:
        raise TreesError("head: the trees' mean is not what is served, but their sum")


def _tree(number: int, block: str, width: int) -> Tree:
    place = f"tree {number}"
    stated, _, rest = block.partition("\n")
    if stated != str(number):
        raise TreesError(f"{place}: is called {stated[:20]!r}")
    fields = _fields(rest.strip("\n"), place)
    [leaves] = _numbers(fields, "num_leaves", int, 1, place)
    if not 1 <= leaves <= MAX_LEAVES:
        raise TreesError(f"{place}: {leaves} leaves: there must be 1 to {MAX_LEAVES}")
    for name in ("num_cat", "is_linear"):
        if fields.get(name, "0") != "0":
            raise TreesError(f"{place}: {name} is not 0: such trees are not served")
    nodes = leaves - 1
    tree = Tree(
        feature=_numbers(fields, "split_feature", int, nodes, place),
        threshold=[LARGEST if t == inf else t for t in _numbers(fields, "threshold", float, nodes, place)],
        decision=_numbers(fields, "decision_type", int, nodes, place),
        left=_numbers(fields, "left_child", int, nodes, place),
        right=_numbers(fields, "right_child", int, nodes, place),
        leaf_value=_numbers(fields, "leaf_value", float, leaves, place),
        leaf_count=_numbers(fields, "leaf_count", int, leaves, place) if nodes else [1],
    )
    _check_tree(tree, width, place)
    if nodes and _numbers(fields, "internal_count", int, nodes, place) != tree.node_count():
        raise TreesError(f"{place}: internal_count is not the sum of what the leaves count")
    return tree


def _numbers(fields: dict[str, str], name: str, kind: Callable[[str], T], length: int, place: str) -> list[T]:
    words = fields.get(name, "").split()
    if len(words) != length:
        raise TreesError(f"{place}: {name} has {len(words)} numbers instead of {length}")
    try:
        return [kind(word) for word in words]
    except ValueError as error:
        raise TreesError(f"{place}: {name}: {str(error)[:80]}") from None


def _check_tree(tree: Tree, width: int, place: str) -> None:
    nodes = len(tree.feature)
    checks = {
        f"a split on a feature outside 0 to {width - 1}": all(0 <= f < width for f in tree.feature),
        "a threshold that is not finite": all(map(isfinite, tree.threshold)),
        "a decision that is none of a number": DECISIONS.issuperset(tree.decision),
        f"a leaf value beyond ±{MAX_VALUE:g}": all(abs(v) <= MAX_VALUE for v in tree.leaf_value),  # NaN is not within
        "a leaf of no rows, or of too many": min(tree.leaf_count) > 0 and sum(tree.leaf_count) <= MAX_COUNT,
        "a child that does not come after its parent": all(
            child < 0 or child > node for node in range(nodes) for child in (tree.left[node], tree.right[node])
        ),
        # Together with the order: one root, no cycle, no index out of range, and nothing out of reach.
        "children that are not each node and each leaf once": (
            not nodes or sorted([*tree.left, *tree.right]) == [*range(-nodes - 1, 0), *range(1, nodes)]
        ),
    }
    for what, right in checks.items():
        if not right:
            raise TreesError(f"{place}: {what}")
