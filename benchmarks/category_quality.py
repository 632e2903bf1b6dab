"""How a category model decides, and how well: on probabilities of rows whose repository the model has not seen."""

import numpy as np

from shared.categories.model import CATEGORIES, SECURITY

# Share of each category's decisions, the least sure ones, that is answered as uncertain.
UNCERTAIN = 0.05
# A point of macro-F1 is worth this much of a point of accuracy: rare categories are found, but not at any price.
MACRO_F1_WORTH = 0.25


def best_offsets(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(4,): what to add to the logarithms for the best worth: accuracy, and macro-F1 at less than its price."""
    logs = np.log(probabilities + 1e-9)
    steps = np.linspace(-0.4, 2.0, 7)
    grid = [np.array([0.0, perf, ref, sec]) for perf in steps for ref in steps - 0.4 for sec in steps + 1.2]
    return max(grid, key=lambda offsets: worth((logs + offsets).argmax(axis=1), labels))


def worth(decided: np.ndarray, labels: np.ndarray) -> float:
    return float((decided == labels).mean() + MACRO_F1_WORTH * macro_f1(decided, labels))


def macro_f1(decided: np.ndarray, labels: np.ndarray) -> float:
    return float(np.mean([f1(decided == at, labels == at) for at in range(len(CATEGORIES))]))


def f1(said: np.ndarray, true: np.ndarray) -> float:
    return float(2 * (said & true).sum() / max(1, said.sum() + true.sum()))


def least_sure(probabilities: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    decided = (np.log(probabilities + 1e-9) + offsets).argmax(axis=1)
    sure = [probabilities[decided == at, at] for at in range(len(CATEGORIES))]
    return np.array([np.quantile(each, UNCERTAIN) if len(each) else 0.0 for each in sure])


def security_log_odds(probabilities: np.ndarray) -> np.ndarray:
    security = np.clip(probabilities[:, SECURITY], 1e-9, 1 - 1e-9)
    return np.log(security / (1 - security))


def auc(score: np.ndarray, positive: np.ndarray) -> float:
    ranks = score.argsort().argsort() + 1
    n = positive.sum()
    return float((ranks[positive].sum() - n * (n + 1) / 2) / (n * (len(score) - n)))


def decided_elsewhere(
    probabilities: np.ndarray, labels: np.ndarray, fold: np.ndarray, given: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """(rows,) decisions and (rows,) whether committed to, by floors, and unless `given` offsets, of the other folds."""
    decided, committed = np.zeros(len(fold), int), np.zeros(len(fold), bool)
    for at in np.unique(fold):
        here, others = probabilities[fold == at], probabilities[fold != at]
        offsets = best_offsets(others, labels[fold != at]) if given is None else given
        decided[fold == at] = choice = (np.log(here + 1e-9) + offsets).argmax(axis=1)
        committed[fold == at] = here[np.arange(len(here)), choice] >= least_sure(others, offsets)[choice]
    return decided, committed


def report(
    kind: str, labels: np.ndarray, fold: np.ndarray, probabilities: np.ndarray, offsets: np.ndarray | None
) -> None:
    likeliest, sure = probabilities.argmax(axis=1), probabilities.max(axis=1)
    decided, committed = decided_elsewhere(probabilities, labels, fold, offsets)
    right, surest = decided == labels, sure >= np.median(sure)
    each = {name: round(f1(decided == at, labels == at), 3) for at, name in enumerate(CATEGORIES)}
    measured = {
        "rows": len(labels),
        "majority": np.bincount(labels).max() / len(labels),
        "likeliest: accuracy": (likeliest == labels).mean(),
        "likeliest: macro-F1": macro_f1(likeliest, labels),
        "likeliest: accuracy on the surest half": (likeliest == labels)[surest].mean(),
        "likeliest: calibration error": calibration_error(sure, likeliest == labels),
        "decided: accuracy": right.mean(),
        "decided: macro-F1": macro_f1(decided, labels),
        "decided: F1 of each": each,
        "uncertain: share": 1 - committed.mean(),
        "uncertain: accuracy had they been decided": right[~committed].mean(),
        "committed: accuracy": right[committed].mean(),
        "security: AUC": auc(probabilities[:, SECURITY], labels == SECURITY),
    }
    for name, value in measured.items():
        print(f"{kind:14} {name:42} {value:.4f}" if isinstance(value, float) else f"{kind:14} {name:42} {value}")


def calibration_error(confidence: np.ndarray, right: np.ndarray) -> float:
    """Expected calibration error over ten bins of equal size."""
    parts = np.array_split(confidence.argsort(), 10)
    return float(sum(abs(confidence[part].mean() - right[part].mean()) * len(part) for part in parts) / len(right))
