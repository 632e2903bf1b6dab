"""Labelled histories in files: each change with what its submitter had, its outcome, and who made it when.

One JSON object a line, gzipped or not: `repo`, `author`, `time` (seconds since 1970), `input`, `history`, `label`, as
docs/ml-training.md tells. The past is not taken from the file: the changes are gone through in time order, and each
is scored on what was known by then, by the same code that serves.
"""

import gzip
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import nan
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from services.trainer.dataset import Floats
from services.trainer.replay import Ledger
from shared.features.change import CHANGE_FEATURES
from shared.features.history import MAX_FILES, history_of, keys_of
from shared.features.size import expected_failure
from shared.features.vector import FEATURES, vector
from shared.files import kind

PATTERN = "*outcome*.jsonl*"
# They are read off the list of files, which ends after some.
LISTED = {"n_new": "A", "n_deleted": "D", "n_renamed": "RC"}
DAY = timedelta(days=1)


class LabelledError(ValueError):
    """The path holds no labelled history."""


class Label(msgspec.Struct, frozen=True):
    outcome: str | None = None
    cc_type: str | None = None
    is_fix: bool = False
    fixed_days: float | None = None
    reverted_days: float | None = None

    def failed_after(self) -> timedelta | None:
        known = [days for days in (self.fixed_days, self.reverted_days) if days is not None]
        return min(known) * DAY if self.outcome == "fail" and known else None


class Row(msgspec.Struct, frozen=True):
    repo: str
    author: str
    time: int
    input: dict[str, Any]
    label: Label
    history: dict[str, float] = {}

    def paths(self) -> tuple[str, ...]:
        """As `shared.features.history.touched_paths` chooses them."""
        listed = dict.fromkeys(path for path, *_ in self.input["files"])
        return tuple([path for path in listed if kind(path) == "source"] or listed)[:MAX_FILES]

    def change(self) -> dict[str, float]:
        """`CHANGE_FEATURES`; NaN for those that a list of files cut short does not tell."""
        status = [entry[1] for entry in self.input["files"]]
        whole = len(status) == self.input["n_files"]
        listed = {name: sum(s in kinds for s in status) if whole else nan for name, kinds in LISTED.items()}
        return {name: float(listed[name] if name in listed else self.input[name]) for name in CHANGE_FEATURES}


@dataclass(frozen=True)
class Labelled:
    """Rows with a known outcome, in order of (repository, time). `x` is what serving computes.

    `given` holds every number that the file has of a change and its past, under `given_names`: what a plain baseline
    sees.
    """

    x: Floats
    given: Floats
    given_names: tuple[str, ...]
    y: Floats
    submitted_at: npt.NDArray[np.datetime64]
    repository: npt.NDArray[np.str_]
    agent: npt.NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.y)

    def repositories(self) -> list[str]:
        return sorted(set(self.repository.tolist()))


def read(path: Path) -> Labelled:
    """All files of a directory that are named `*outcome*.jsonl*`, or the one file. Raises `LabelledError`."""
    files = sorted(path.glob(PATTERN)) if path.is_dir() else [path]
    if not files or not all(file.is_file() for file in files):
        raise LabelledError(f"no labelled history at {path}: a file, or a directory with {PATTERN} in it, is needed")
    told = [line for rows in _repositories(files).values() for line in _told(rows)]
    if not told:
        raise LabelledError(f"{path}: no change with a known outcome")
    names = tuple(told[0].given)
    return Labelled(
        x=np.array([line.vector for line in told]),
        given=np.array([[line.given.get(name, nan) for name in names] for line in told]),
        given_names=names,
        y=np.array([line.held for line in told]),
        submitted_at=np.array([line.at.replace(tzinfo=None) for line in told], "datetime64[us]"),
        repository=np.array([line.repository for line in told]),
        agent=np.array([line.agent for line in told]),
    )


class Told(msgspec.Struct, frozen=True):
    repository: str
    agent: str
    at: datetime
    held: float
    vector: list[float]
    given: dict[str, float]


def _repositories(files: list[Path]) -> Mapping[str, list[Row]]:
    decoder, rows = msgspec.json.Decoder(Row), defaultdict[str, list[Row]](list)
    for file in files:
        with (gzip.open if file.suffix == ".gz" else open)(file, "rb") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    row = decoder.decode(line)
                except msgspec.MsgspecError as error:
                    raise LabelledError(f"{file.name}, line {number}: {error}") from error
                rows[row.repo].append(row)
    return {name: sorted(rows[name], key=lambda row: row.time) for name in sorted(rows)}


def _told(rows: list[Row]) -> Iterator[Told]:
    """Of one repository, in time order; changes whose outcome is not known are history all the same."""
    ledger = Ledger()
    for row in rows:
        at, change, agent = datetime.fromtimestamp(row.time, UTC), row.change(), str(row.input["agent"])
        keys = keys_of(row.repo, row.author, agent, row.paths())
        if row.label.outcome is not None:
            history = history_of(keys, ledger.pasts(keys, at))
            yield Told(
                repository=row.repo,
                agent=agent,
                at=at,
                held=float(row.label.outcome == "success"),
                vector=vector(change, history, row.label.cc_type, None, at),
                given=_numbers(row),
            )
        after = row.label.failed_after()
        ledger.changed(
            keys,
            at,
            mends=row.label.is_fix,
            expected=expected_failure(change),
            failed_at=None if after is None else at + after,
        )


def _numbers(row: Row) -> dict[str, float]:
    given = {**{f"input.{k}": v for k, v in row.input.items()}, **{f"history.{k}": v for k, v in row.history.items()}}
    return {name: float(value) for name, value in given.items() if isinstance(value, int | float)}


def without(x: Floats, features: tuple[str, ...]) -> Floats:
    """A copy in which nobody told those features."""
    blank = x.copy()
    blank[:, [FEATURES.index(name) for name in features]] = nan
    return blank
