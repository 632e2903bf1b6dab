"""The training set: chunks of settled fixes on disk, read back as one table in time order."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

Floats = npt.NDArray[np.float64]

# Once so many principals report, none of them makes up more than half of the rows.
CAPPED_FROM_REPORTERS = 3


@dataclass(frozen=True)
class Dataset:
    """Rows in order of `(submitted_at, id)`. `x` is (rows, features) with NaN for unknown; `y` is 1 for held."""

    x: Floats
    y: Floats
    submitted_at: npt.NDArray[np.datetime64]
    capped: int

    def __len__(self) -> int:
        return len(self.y)

    def part(self, rows: slice) -> tuple[Floats, Floats]:
        """(x, y), not copied."""
        return self.x[rows], self.y[rows]

    def time(self, row: int) -> datetime:
        """Of a row, in UTC."""
        return datetime.fromisoformat(f"{self.submitted_at[row]}+00:00")

    def sha256(self) -> str:
        digest = hashlib.sha256(self.submitted_at.astype(np.int64).tobytes())
        digest.update(self.y.tobytes())
        digest.update(self.x.data)
        return digest.hexdigest()


def write_chunk(directory: Path, number: int, rows: Sequence[Mapping[str, Any]], features: Sequence[str]) -> None:
    """`rows` have `id submitted_at features held imported reporter`."""
    table = pl.DataFrame(np.array([row["features"] for row in rows], dtype=np.float64), schema=list(features))
    table = table.with_columns(
        pl.Series("@id", [row["id"].bytes for row in rows], dtype=pl.Binary),
        pl.Series("@submitted_at", [row["submitted_at"] for row in rows], dtype=pl.Datetime("us", "UTC")),
        pl.Series("@held", [row["held"] for row in rows], dtype=pl.Float64),
        pl.Series("@reporter", [None if row["imported"] else row["reporter"] for row in rows], dtype=pl.String),
    )
    table.write_ipc(directory / f"rows-{number:06}.arrow")


def read(directory: Path, features: Sequence[str]) -> Dataset:
    """Everything `write_chunk` left in `directory`, one reporter's share capped."""
    paths = sorted(directory.glob("rows-*.arrow"))
    if not paths:
        return Dataset(np.empty((0, len(features))), np.empty(0), np.empty(0, "datetime64[us]"), 0)
    table = pl.scan_ipc(paths).sort("@submitted_at", "@id").collect(engine="streaming")
    kept = table[capped(table["@reporter"])]
    return Dataset(
        x=np.ascontiguousarray(kept.select(features).to_numpy()),
        y=kept["@held"].to_numpy(),
        submitted_at=kept["@submitted_at"].dt.replace_time_zone(None).to_numpy(),
        capped=len(table) - len(kept),
    )


def capped(reporters: pl.Series) -> npt.NDArray[np.intp]:
    """The rows that stay, in order. Null stands for an import: an operator's history counts, but is not capped.

    A reporter with more rows than all the rest together keeps as many as they have, spread evenly over time.
    """
    counts = reporters.drop_nulls().value_counts(sort=True)
    rows = np.arange(len(reporters))
    if len(counts) < CAPPED_FROM_REPORTERS:
        return rows
    name, most = counts.row(0)
    allowed = len(reporters) - most
    if most <= allowed:
        return rows
    theirs = np.flatnonzero((reporters == name).fill_null(False).to_numpy())
    stay = theirs[np.linspace(0, most - 1, allowed).round().astype(np.intp)]
    return np.union1d(np.setdiff1d(rows, theirs), stay)
