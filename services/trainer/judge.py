"""The judgement on the newest rows: the new model, the champion, the formula and a constant, side by side."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from services.trainer import booster, evaluate, job
from services.trainer.calibrate import apply
from services.trainer.dataset import Dataset, Floats
from services.trainer.domain import Verdict, decide
from services.trainer.job import Job
from services.trainer.split import Split
from shared.artefacts import Artefact


def judge(directory: Path, task: Job, data: Dataset, split: Split, new: Artefact) -> tuple[dict[str, Any], Verdict]:
    """(metrics, verdict). The constant is the base rate of the rows before the evaluation."""
    x, y = data.part(split.evaluate)
    p = predict(new, x, task.threads)
    constant = np.full_like(y, data.y[: split.calibrate.stop].mean())
    champion, gain = _against_champion(directory, task, p, x, y)
    begun = booster.sigmoid(booster.begin(x))
    over_formula = evaluate.brier_gain(p, begun, y, task.seed)
    metrics = {
        **msgspec.to_builtins(evaluate.scores(p, y)),
        "reliability": msgspec.to_builtins(evaluate.reliability(p, y)),
        "constant": msgspec.to_builtins(evaluate.scores(constant, y)),
        "formula": {**msgspec.to_builtins(evaluate.scores(begun, y)), "gain": msgspec.to_builtins(over_formula)},
        "champion": champion,
        "gain": msgspec.to_builtins(gain),
        "calibration_method": new.calibration.method,
        "rows": split.sizes(),
        "gap_days": split.gap_days,
        "notes": list(task.notes),
    }
    verdict = decide(metrics["brier"], metrics["constant"]["brier"], over_formula.high, gain.low if gain else None)
    return metrics, verdict


def predict(artefact: Artefact, x: Floats, threads: int) -> Floats:
    """Calibrated probabilities of `held`, (rows,): what serving answers for these vectors."""
    return apply(artefact.calibration, booster.predict(artefact.booster, x, threads))


def _against_champion(
    directory: Path, task: Job, p: Floats, x: Floats, y: Floats
) -> tuple[dict[str, Any] | None, evaluate.Gain | None]:
    if task.champion is None:
        return None, None
    artefact = read_artefact(directory, job.CHAMPION)
    theirs = predict(artefact, x, task.threads)
    scores = {"version": task.champion, **msgspec.to_builtins(evaluate.scores(theirs, y))}
    return scores, evaluate.brier_gain(p, theirs, y, task.seed)


def read_artefact(directory: Path, name: str) -> Artefact:
    return msgspec.json.decode((directory / name).read_bytes(), type=Artefact)
