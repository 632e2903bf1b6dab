"""The models that ship: confidence as `make train` left it, categories as `benchmarks/fit_categories.py` did."""

from functools import cache
from pathlib import Path

from services.trainer import job
from services.trainer.job import Fitted
from shared.categories.artefact import SHIPPED, shipped

DIRECTORY = Path(__file__).parent / "default_model"
CATEGORY = "category.json"


@cache
def about() -> Fitted:
    """Its metrics on repositories that it was not fitted on, its lineage, and the sha256 of `artefact()`."""
    return _fitted(job.RESULT)


@cache
def artefact() -> bytes:
    return (DIRECTORY / job.ARTEFACT).read_bytes()


@cache
def about_category() -> Fitted:
    """The same of the category model; `sha256` is that of `category()`."""
    return _fitted(CATEGORY)


def category() -> tuple[str, bytes]:
    """(sha256, bytes)."""
    return shipped()[0], SHIPPED.read_bytes()


def _fitted(name: str) -> Fitted:
    fitted = job.read_result(DIRECTORY, name)
    if not isinstance(fitted, Fitted):
        raise TypeError(f"{DIRECTORY / name} holds no model: {fitted.reason}")
    return fitted
