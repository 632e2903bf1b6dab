"""What the service and its fitting process hand each other: files in one directory."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from services.trainer.domain import Verdict
from shared.contracts.models import ModelKind

JOB = "job.json"
CHAMPION = "champion.json"
BASE = "base.json"
ARTEFACT = "artefact.json"
RESULT = "result.json"

# Tells the service that a stage begins.
Say = Callable[[str], None]


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """`champion` is the version whose artefact lies beside as `CHAMPION`; None when there is none to compare with.

    `based_on` is the sha256 of the model that ships, whose artefact lies there as `BASE`: trees begin where it ends.
    """

    kind: ModelKind = "confidence"
    # The columns of a confidence model; a category model reads changes whole.
    features: tuple[str, ...] = ()
    feature_set: str
    seed: int
    threads: int
    code_version: str
    champion: str | None = None
    based_on: str | None = None
    notes: tuple[str, ...] = ()


class Refused(msgspec.Struct, frozen=True, kw_only=True, tag="refused"):
    """The rows do not allow a model."""

    reason: str


class Fitted(msgspec.Struct, frozen=True, kw_only=True, tag="fitted"):
    """A model, its bytes in `ARTEFACT`. `base_rate` is that of the evaluation rows, beside which metrics are read."""

    sha256: str
    rows: int
    base_rate: float
    trained_from: datetime
    trained_until: datetime
    metrics: dict[str, Any]
    lineage: dict[str, Any]
    verdict: Verdict


def write(directory: Path, name: str, value: msgspec.Struct) -> None:
    (directory / name).write_bytes(msgspec.json.encode(value))


def read_job(directory: Path) -> Job:
    return msgspec.json.decode((directory / JOB).read_bytes(), type=Job)


def read_result(directory: Path, name: str = RESULT) -> Fitted | Refused:
    return msgspec.json.decode((directory / name).read_bytes(), type=Fitted | Refused)
