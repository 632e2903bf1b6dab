"""The model that ships, as `make train` left it beside this file."""

from functools import cache
from pathlib import Path

from services.trainer import job
from services.trainer.job import Fitted

DIRECTORY = Path(__file__).parent / "default_model"


@cache
def about() -> Fitted:
    """Its metrics on repositories that it was not fitted on, its lineage, and the sha256 of `artefact()`."""
    fitted = job.read_result(DIRECTORY)
    if not isinstance(fitted, Fitted):
        raise TypeError(f"{DIRECTORY} holds no model: {fitted.reason}")
    return fitted


@cache
def artefact() -> bytes:
    return (DIRECTORY / job.ARTEFACT).read_bytes()
