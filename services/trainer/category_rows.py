"""What a category model is fitted on: changes, read as they will be when it answers, and what kind each was said to be.

The kind is what the submitter declared or a reporter corrected, never what a model predicted.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from services.trainer.dataset import capped
from shared.categories.model import CATEGORIES, CHANNELS, TITLE_CHANNELS, Floats, Spoken, spoken, values_of
from shared.categories.tokens import Words
from shared.contracts.fixes import Category
from shared.diffs import Diff, DiffError, parse
from shared.features.fix_type import declared_category


class Example(msgspec.Struct, frozen=True):
    """`teller` is who said it; None for an operator's import."""

    at: datetime
    title: str | None
    diff: str
    category: Category
    teller: str | None


class Rows(NamedTuple):
    """`spoken` holds all words, those of the title among them; `shapes` (rows, `SHAPE`), `labels` (rows,)."""

    spoken: Sequence[Spoken]
    shapes: NDArray[np.float32]
    labels: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.labels)

    def part(self, chosen: NDArray[np.integer]) -> "Rows":
        return Rows([self.spoken[at] for at in chosen], self.shapes[chosen], self.labels[chosen])


def channels_of(kind: str) -> list[str]:
    return [channel for channel in CHANNELS if kind == "with_title" or channel not in TITLE_CHANNELS]


def rows_of(changes: Iterable[tuple[Diff, Words, Category]]) -> Rows:
    read = [(spoken(words), values_of(diff, words), CATEGORIES.index(kind)) for diff, words, kind in changes]
    said, shapes, labels = zip(*read, strict=True)
    return Rows(said, np.array(shapes, np.float32), np.array(labels, np.intp))


def write_chunk(directory: Path, number: int, rows: Sequence[Mapping[str, Any]]) -> None:
    """`rows` have `submitted_at title diff fix_type corrected_category teller`."""
    told = [example for row in rows if (example := _example(row))]
    (directory / f"examples-{number:06}.json").write_bytes(msgspec.json.encode(told))


def _example(row: Mapping[str, Any]) -> Example | None:
    category = row["corrected_category"] or declared_category(row["fix_type"])
    if category not in CATEGORIES:
        return None
    return Example(row["submitted_at"], row["title"], row["diff"], category, row["teller"])


def read(directory: Path) -> list[Example]:
    """All that was written, in time order, one teller's share capped."""
    found: list[Example] = []
    for path in sorted(directory.glob("examples-*.json")):
        found += msgspec.json.decode(path.read_bytes(), type=list[Example])
    found.sort(key=lambda example: example.at)
    stay = capped(pl.Series([example.teller for example in found], dtype=pl.String))
    return [found[at] for at in stay]


def readable(examples: Iterable[Example]) -> list[tuple[Example, Diff]]:
    """Without those whose diff cannot be read: a stricter reader came after they were stored."""
    found = []
    for example in examples:
        try:
            found.append((example, parse(example.diff)))
        except DiffError:
            continue
    return found


def shares(labels: NDArray[np.integer]) -> Floats:
    """(4,): how often each category comes."""
    return np.bincount(labels, minlength=len(CATEGORIES)) / max(1, len(labels))


def counts(examples: Collection[Example]) -> dict[str, int]:
    return {name: sum(example.category == name for example in examples) for name in CATEGORIES}
