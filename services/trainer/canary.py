"""A new model is tried once as it will be served, in a process of its own: what crashes there crashes nobody else.

`python -m services.trainer.canary KIND ARTEFACT SHA256` ends with 0, or says what is wrong.
"""

import asyncio
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Callable
from contextlib import suppress
from math import isclose, isfinite, isnan, nan
from pathlib import Path

from shared.artefacts import ArtefactError, decode
from shared.categories import artefact as categories
from shared.categories.model import categorize
from shared.categories.tokens import read_words
from shared.contracts.models import ModelKind
from shared.diffs import Diff, FileChange
from shared.features.vector import FEATURES
from shared.predictor import Predictor

LIMIT_SECONDS = 60.0
TOLD_CHARACTERS = 500
# Nothing known, nothing there, little, and more than anybody ever sees: each alone and in turns.
VALUES = (nan, 0.0, 1.0, 1e12)
CHANGE = Diff(files=(FileChange("src/a.py", None, "M", ("if user:", "    x = cache(y)"), ("x = y",), 1, False),))
# Between an explanation's sum and the raw score, in log-odds.
TOLERANCE = 1e-6


def rows() -> list[list[float]]:
    width = len(FEATURES)
    alike = [[value] * width for value in VALUES]
    turns = [[VALUES[(i + shift) % len(VALUES)] for i in range(width)] for shift in range(len(VALUES))]
    return [[_possible(name, value) for name, value in zip(FEATURES, row, strict=True)] for row in alike + turns]


def _possible(feature: str, value: float) -> float:
    """Rates are shrunk: none is ever 0 or 1."""
    return min(max(value, 0.001), 0.999) if "_rate" in feature and not isnan(value) else value


def fault(artefact: Path, sha256: str) -> str | None:
    """Why the confidence model cannot be served, or None."""
    try:
        predictor = Predictor(decode(artefact.read_bytes(), sha256=sha256))
    except ArtefactError as error:
        return str(error)
    for row, (base, effects) in zip(rows(), predictor.explain(rows()), strict=True):
        score, confidence = predictor.log_odds(row), predictor(row)
        if not (isfinite(score) and 0 <= confidence <= 1):
            return f"answers {confidence} at a score of {score}"
        if abs(base + sum(effects.values()) - score) > TOLERANCE:
            return f"explains {base + sum(effects.values())} where it scores {score}"
    return None


def category_fault(artefact: Path, sha256: str) -> str | None:
    """Why the category model cannot be served, or None."""
    try:
        model = categories.decode(artefact.read_bytes(), sha256=sha256)
    except ArtefactError as error:
        return str(error)
    for diff in (Diff(files=()), CHANGE):
        for title in (None, "keep the session of a user that has none"):
            found = categorize(model, diff, read_words(diff, title))
            if not isclose(sum(found.probabilities.values()), 1, abs_tol=TOLERANCE):
                return f"answers {found.probabilities}"
    return None


FAULTS: dict[str, Callable[[Path, str], str | None]] = {"confidence": fault, "category": category_fault}


async def refusal(kind: ModelKind, artefact: Path, sha256: str) -> str | None:
    """What the trial found, or how it ended; None when the model answers."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.trainer.canary", kind, str(artefact), sha256,
        stdin=DEVNULL, stdout=PIPE, stderr=PIPE,
    )  # fmt: skip
    try:
        told, errors = await asyncio.wait_for(process.communicate(), LIMIT_SECONDS)
    except TimeoutError:
        return f"gave no answer within {LIMIT_SECONDS:.0f} s"
    finally:
        with suppress(ProcessLookupError):
            process.kill()
    if process.returncode == 0:
        return None
    last = (told or errors).decode(errors="replace").strip().rpartition("\n")[2]
    return f"{last[-TOLD_CHARACTERS:] or 'died'} (ended with {process.returncode})"


if __name__ == "__main__":
    if found := FAULTS[sys.argv[1]](Path(sys.argv[2]), sys.argv[3]):
        sys.stdout.write(f"{found}\n")
        sys.exit(1)
