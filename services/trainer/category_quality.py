"""How a category model decides, and how well: on probabilities of rows whose repository the model has not seen."""

import numpy as np
from numpy.typing import NDArray

from shared.categories.model import CATEGORIES, SECURITY, Floats

Labels = NDArray[np.integer]
Flags = NDArray[np.bool_]

# Share of each category's decisions, the least sure ones, that is answered as uncertain.
UNCERTAIN = 0.05
# A point of macro-F1 is worth this much of a point of accuracy: rare categories are found, but not at any price.
MACRO_F1_WORTH = 0.25


def best_offsets(probabilities: Floats, labels: Labels) -> Floats:
    """(4,): what to add to the logarithms for the best worth: accuracy, and macro-F1 at less than its price."""
    logs = np.log(probabilities + 1e-9)
    steps = np.linspace(-0.4, 2.0, 7)
    grid = [np.array([0.0, perf, ref, sec]) for perf in steps for ref in steps - 0.4 for sec in steps + 1.2]
    return max(grid, key=lambda offsets: worth((logs + offsets).argmax(axis=1), labels))


def worth(decided: Labels, labels: Labels) -> float:
    return float((decided == labels).mean() + MACRO_F1_WORTH * macro_f1(decided, labels))


def macro_f1(decided: Labels, labels: Labels) -> float:
    return float(np.mean([f1(decided == at, labels == at) for at in range(len(CATEGORIES))]))


def f1(said: Flags, true: Flags) -> float:
    return float(2 * (said & true).sum() / max(1, said.sum() + true.sum()))


def least_sure(probabilities: Floats, offsets: Floats) -> Floats:
    decided = (np.log(probabilities + 1e-9) + offsets).argmax(axis=1)
    sure = [probabilities[decided == at, at] for at in range(len(CATEGORIES))]
    return np.array([np.quantile(each, UNCERTAIN) if len(each) else 0.0 for each in sure])


def security_log_odds(probabilities: Floats) -> Floats:
    security = np.clip(probabilities[:, SECURITY], 1e-9, 1 - 1e-9)
    return np.log(security / (1 - security))


def auc(score: Floats, positive: Flags) -> float:
    ranks = score.argsort().argsort() + 1
    n = positive.sum()
    return float((ranks[positive].sum() - n * (n + 1) / 2) / (n * (len(score) - n)))


def calibration_error(confidence: Floats, right: Flags) -> float:
    """Expected calibration error over ten bins of equal size."""
    parts = np.array_split(confidence.argsort(), 10)
    return float(sum(abs(confidence[part].mean() - right[part].mean()) * len(part) for part in parts) / len(right))
