"""The judgement on the newest rows: the new category model, the one that answers, and a constant, side by side."""

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from services.trainer.category_quality import auc, calibration_error, f1, macro_f1
from services.trainer.category_rows import Example, shares
from services.trainer.domain import Verdict, decide_category
from services.trainer.evaluate import mean_gain
from services.trainer.job import Job
from services.trainer.split import Split
from shared.categories.model import CATEGORIES, SECURITY, Floats, Model, categorize
from shared.categories.tokens import read_words
from shared.diffs import Diff

SHIPS = "the model that ships"
Told = tuple[Floats, NDArray[np.intp]]


def judge(
    task: Job, new: Model, served: Model, examples: list[tuple[Example, Diff]], split: Split
) -> tuple[dict[str, Any], Verdict]:
    """(metrics, verdict), of what would have been answered. The constant is how often each category came before."""
    known = _labels(examples[: split.calibrate.stop])
    rows = examples[split.evaluate]
    labels = _labels(rows)
    ours, theirs = answers(new, rows), answers(served, rows)
    constant = np.tile(shares(known), (len(labels), 1))
    gain = mean_gain(surprise(theirs[0], labels) - surprise(ours[0], labels), task.seed)
    metrics = {
        **scores(*ours, labels),
        "base_rate": float(shares(labels).max()),
        "constant": {"log_loss": float(surprise(constant, labels).mean())},
        "champion": {"version": task.champion or SHIPS, **scores(*theirs, labels)},
        "gain": msgspec.to_builtins(gain),
        "rows": split.sizes(),
        "gap_days": split.gap_days,
        "notes": list(task.notes),
    }
    return metrics, decide_category(gain.low)


def answers(model: Model, rows: list[tuple[Example, Diff]]) -> Told:
    """(rows, 4) probabilities and (rows,) the category each is given, -1 for uncertain."""
    found = [categorize(model, diff, read_words(diff, example.title)) for example, diff in rows]
    p = np.array([[each.probabilities[name] for name in CATEGORIES] for each in found])
    said = [CATEGORIES.index(each.category) if each.category in CATEGORIES else -1 for each in found]
    return p, np.array(said, np.intp)


def scores(p: Floats, said: NDArray[np.intp], labels: NDArray[np.intp]) -> dict[str, Any]:
    likeliest, security = p.argmax(axis=1), labels == SECURITY
    return {
        "accuracy": float((likeliest == labels).mean()),
        "macro_f1": macro_f1(likeliest, labels),
        "f1": {name: f1(said == at, labels == at) for at, name in enumerate(CATEGORIES)},
        "uncertain": float((said < 0).mean()),
        "log_loss": float(surprise(p, labels).mean()),
        "ece": calibration_error(p.max(axis=1), likeliest == labels),
        "security_auc": auc(p[:, SECURITY], security) if 0 < security.sum() < len(labels) else None,
    }


def surprise(p: Floats, labels: NDArray[np.intp]) -> Floats:
    """(rows,): the negative logarithm of what was given to the right answer."""
    return np.asarray(-np.log(np.maximum(p[np.arange(len(labels)), labels], 1e-9)))


def _labels(examples: list[tuple[Example, Diff]]) -> NDArray[np.intp]:
    return np.array([CATEGORIES.index(example.category) for example, _ in examples], np.intp)
