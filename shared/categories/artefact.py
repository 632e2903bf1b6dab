"""A category model as it is stored: one JSON document, whose long rows of numbers are little-endian bytes in base64.

What comes from a store that others may write to is only ever numbers, and each is checked before any is used.
"""

import math
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared import artefacts
from shared.artefacts import ArtefactError, checked, sha256_of
from shared.categories.forest import Forest
from shared.categories.model import BUCKETS, CATEGORIES, FEATURE_SET, SHAPE, Floats, Model, Table

KINDS: tuple[Literal["with_title", "without_title"], ...] = ("with_title", "without_title")
# How the fields of a forest are stored.
FOREST = {
    "columns": np.uint32, "roots": np.int32, "feature": np.int16, "threshold": np.float32, "left": np.int32,
    "right": np.int32, "value": np.float32,
}  # fmt: skip
PERCENTILES = 101
MOST_BINS = 64
# Of any weight or score. No fit comes near; sums of such numbers stay finite.
LARGEST = 1e6
SHIPPED = Path(__file__).with_name("shipped.json")


class Numbers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    type: Literal["f2", "f4", "i2", "i4", "u4"]
    shape: tuple[int, ...]
    data: bytes

    def array(self) -> NDArray[Any]:
        """Raises `ArtefactError` when there are more or fewer bytes than the shape says."""
        kind = np.dtype(f"<{self.type}")
        if any(size < 0 for size in self.shape) or math.prod(self.shape) * kind.itemsize != len(self.data):
            raise ArtefactError(f"{len(self.data)} bytes are no {self.type} of shape {self.shape}")
        return np.frombuffer(self.data, kind).reshape(self.shape)

    @classmethod
    def of(cls, array: NDArray[Any]) -> "Numbers":
        little = array.astype(array.dtype.newbyteorder("<"))
        return cls(f"{little.dtype.kind}{little.dtype.itemsize}", little.shape, little.tobytes())  # type: ignore[arg-type]


class Stored(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`tables` hold the fields of `Table` by name; those of its forest begin with `forest_`."""

    format: Literal[1] = 1
    kind: Literal["category"] = "category"
    feature_set: str
    edges: Numbers
    tables: dict[Literal["with_title", "without_title"], dict[str, Numbers]]


def encode(model: Model) -> tuple[str, bytes]:
    """(sha256, bytes). Words are kept in half precision: they are many, and their sums are over hundreds."""
    tables = {kind: _numbers(getattr(model, kind)) for kind in KINDS}
    return artefacts.encode(
        Stored(feature_set=FEATURE_SET, edges=Numbers.of(model.edges.astype(np.float32)), tables=tables)
    )


def _numbers(table: Table) -> dict[str, Numbers]:
    plain = {f: getattr(table, f) for f in Table.__struct_fields__ if f != "forest"}
    kept = {name: Numbers.of(value.astype(np.float16 if name == "words" else np.float32))
            for name, value in plain.items()}  # fmt: skip
    if table.forest is not None:
        kept |= {f"forest_{f}": Numbers.of(getattr(table.forest, f).astype(kind)) for f, kind in FOREST.items()}
    return kept


def decode(data: bytes, *, sha256: str) -> Model:
    """Raises `ArtefactError` for anything that could not answer for every change."""
    stored = checked(data, Stored, sha256=sha256)
    if stored.feature_set != FEATURE_SET:
        raise ArtefactError("reads changes otherwise than this version does; retrain")
    edges = stored.edges.array().astype(np.float32)
    if edges.ndim != 2 or len(edges) != len(SHAPE) or edges.shape[1] >= MOST_BINS:
        raise ArtefactError(f"edges: shape {edges.shape}")
    if not np.isfinite(edges).all() or (np.diff(edges) < 0).any():
        raise ArtefactError("edges: finite numbers that do not fall")
    return Model(edges, *(_table(stored.tables.get(kind, {}), kind, edges.shape[1] + 1) for kind in KINDS))


def _table(numbers: dict[str, Numbers], kind: str, bins: int) -> Table:
    held = {name: each.array() for name, each in numbers.items()}
    trees = {name.removeprefix("forest_"): held.pop(name) for name in list(held) if name.startswith("forest_")}
    plain = {name: value.astype(np.float32) for name, value in held.items()}
    if fault := _fault(plain, bins):
        raise ArtefactError(f"{kind}: {fault}")
    return Table(**plain, forest=_forest(trees, kind))


def _fault(table: dict[str, Floats], bins: int) -> str | None:
    classes = len(CATEGORIES)
    shapes = {
        "words": (BUCKETS, classes), "bins": (len(SHAPE), bins, classes), "bias": (classes,), "offsets": (classes,),
        "floors": (classes,), "security": (PERCENTILES,), "share": (),
    }  # fmt: skip
    found = {name: value.shape for name, value in table.items()}
    if found != shapes:
        return f"{sorted(set(shapes.items()) ^ set(found.items()))} do not fit"
    if not all((np.abs(value) <= LARGEST).all() for value in table.values()):  # NaN is not within
        return f"numbers beyond ±{LARGEST:g}"
    if not (0 <= table["share"] < 1 and (np.diff(table["security"]) >= 0).all()):
        return "a share outside 0 to 1, or percentiles that fall"
    return None


def _forest(fields: dict[str, NDArray[Any]], kind: str) -> Forest | None:
    if not fields:
        return None
    if set(fields) != set(Forest.__struct_fields__) or any(each.ndim != 1 for each in fields.values()):
        raise ArtefactError(f"{kind}: trees of {sorted(fields)}")
    forest = Forest(**fields)
    try:
        forest.check(len(SHAPE))
    except ValueError as error:
        raise ArtefactError(f"{kind}: {error}") from error
    return forest


@lru_cache(maxsize=1)
def shipped() -> tuple[str, Model]:
    """(sha256, model) as `benchmarks/fit_categories.py` left it beside this file."""
    data = SHIPPED.read_bytes()
    sha256 = sha256_of(data)
    return sha256, decode(data, sha256=sha256)
