"""The answer when there is no model, and where a model's trees begin: a logistic formula, the same for everybody.

Fitted to the public histories of 20 open-source repositories (79,814 changes with a known outcome, 86.0 % of
which held). Leaving repositories out (ten folds of two): AUC 0.782, Brier skill over the base rate 0.158, ECE 0.004
over ten deciles; within a single repository AUC 0.741 on average. Without any history: AUC 0.742, ECE 0.017.
The terms were chosen on the same folds, so untouched repositories will be a little less kind.
"""

import hashlib
from collections.abc import Callable, Sequence
from math import copysign, exp, isnan, log, log1p
from typing import NamedTuple

from shared.features.vector import FEATURES


def _logit(rate: float) -> float:
    return log(rate / (1 - rate))


class Term(NamedTuple):
    feature: str
    scale: Callable[[float], float]
    # In log-odds of holding, per unit of the scaled feature.
    weight: float
    # Stands in, already scaled, for a feature that is not known: the mean of the histories, the prior for the rate.
    typical: float


TERMS = (
    Term("la", log1p, -0.373, 2.97),
    Term("la_test", log1p, -0.048, 1.11),
    Term("n_files", log1p, 0.221, 1.24),
    Term("br_rem", log1p, -0.103, 0.86),
    Term("indent_add", log1p, -0.209, 2.28),
    Term("author_failure_rate", _logit, -0.464, -1.82),
    Term("repository_changes", log1p, 0.160, 7.45),
    Term("file_changes_max", log1p, 0.217, 3.21),
    Term("file_failures_sum", log1p, -0.303, 2.07),
    Term("file_gap_days_min", log1p, 0.170, 1.49),
)
BIAS = 1.223
# No change of those histories was surer than this, so no claim may be.
LIMIT = 6.0
COLUMNS = tuple((FEATURES.index(term.feature), term) for term in TERMS)
# As `log_odds` reads them: (column, scale, weight, what the term adds where the feature is not known).
_READ = tuple((column, term.scale, term.weight, term.weight * term.typical) for column, term in COLUMNS)
# Trees that were fitted on top of one formula are nothing on top of another.
FORMULA = hashlib.sha256(
    repr([(t.feature, t.scale.__name__, t.weight, t.typical) for t in TERMS]).encode()
).hexdigest()[:16]


def log_odds(vector: Sequence[float]) -> float:
    """Of holding, for a vector in the order of `FEATURES`; NaN = not known. Within ±6."""
    total = BIAS
    for column, scale, weight, unknown in _READ:
        value = vector[column]
        total += unknown if isnan(value) else weight * scale(value)
    return _limited(total)


def formula(vector: Sequence[float]) -> float:
    """P(held), strictly between 0 and 1."""
    return 1 / (1 + exp(-log_odds(vector)))


def effects(vector: Sequence[float]) -> tuple[float, dict[str, float]]:
    """(base value, what each known term adds), in log-odds; together `log_odds`: at its limit all add a little less."""
    base = BIAS + sum(term.weight * term.typical for term in TERMS)
    known = {term.feature: (term, vector[column]) for column, term in COLUMNS if not isnan(vector[column])}
    added = {name: term.weight * (term.scale(value) - term.typical) for name, (term, value) in known.items()}
    total = sum(added.values())
    share = (_limited(base + total) - base) / total if total else 1.0
    return base, {name: share * size for name, size in added.items()}


def _limited(total: float) -> float:
    return total if -LIMIT <= total <= LIMIT else copysign(LIMIT, total)
