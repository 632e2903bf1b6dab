"""The numbers a model sees of a fix: one definition, used when it is scored and when a model is trained."""

import hashlib
from collections.abc import Callable, Mapping
from datetime import datetime
from math import nan

from shared.contracts.fixes import Signals
from shared.features.change import CHANGE_FEATURES, change_features, check_claimed
from shared.features.fix_type import normalize_fix_type
from shared.features.history import History, Past

__all__ = ["FEATURES", "FEATURE_SET", "change_features", "check_claimed", "normalize_fix_type", "vector"]

# Raise it when a feature keeps its name and means something else.
_DEFINITION = 1

# Rates are shrunk: a new key has the rate of what it belongs to, and moves from it with its own changes.
# Share of failures in the public histories of 20 open-source repositories (84,607 changes).
_PRIOR_FAILURE_RATE = 0.14
# How many changes at the prior rate every key starts with.
_REPOSITORY_WEIGHT, _PERSON_WEIGHT, _FILE_WEIGHT = 20.0, 10.0, 3.0

_HISTORY = [
    "author_changes",
    "author_changes_90d",
    "author_failure_rate",
    "author_gap_days",
    "author_age_days",
    "agent_changes",
    "agent_failure_rate",
    "repository_changes",
    "repository_failure_rate",
    "repository_age_days",
    "file_changes_max",
    "file_changes_mean",
    "file_changes_90d_max",
    "file_failures_max",
    "file_failures_sum",
    "file_failure_rate_max",
    "file_gap_days_min",
    "files_unseen",
]
_SIGNALS: dict[str, Callable[[Signals], float | None]] = {
    "tests_passed": lambda signals: signals.tests_passed,
    "ci_success": lambda signals: {"success": 1.0, "failure": 0.0}.get(signals.ci_status or ""),
    "retries": lambda signals: signals.retries,
    "linked_issue": lambda signals: signals.linked_issue,
}
_TYPES = {
    "is_feature": frozenset({"feat"}),
    "is_fix": frozenset({"fix", "security", "revert"}),
    "is_rework": frozenset({"refactor", "perf"}),
    "is_upkeep": frozenset({"build", "chore", "ci", "docs", "style", "test"}),
}

FEATURES: tuple[str, ...] = (*CHANGE_FEATURES, *_HISTORY, *_SIGNALS, *_TYPES)
# Vectors are comparable, and a model fits them, only under the same value.
FEATURE_SET: str = hashlib.sha256(f"{_DEFINITION}:{','.join(FEATURES)}".encode()).hexdigest()[:16]


def vector(
    change: Mapping[str, float],
    history: History | None,
    fix_type: str | None,
    signals: Signals | None,
    as_of: datetime,
) -> list[float]:
    """One number for each of `FEATURES`, NaN where it is not known.

    `change` has the keys of `CHANGE_FEATURES`; `history` is as of `as_of`, None = not looked up.
    """
    values = [float(change[name]) for name in CHANGE_FEATURES]
    values += [nan] * len(_HISTORY) if history is None else [float(value) for value in _history(history, as_of)]
    values += [_number(read(signals)) if signals else nan for read in _SIGNALS.values()]
    known = normalize_fix_type(fix_type)
    values += [float(known in types) if known else nan for types in _TYPES.values()]
    return values


def _history(history: History, as_of: datetime) -> list[float]:
    """In the order of `_HISTORY`."""
    author, agent, repository = history.author, history.agent, history.repository
    rate = _rate(repository, _PRIOR_FAILURE_RATE, _REPOSITORY_WEIGHT)
    return [
        author.changes,
        author.changes_90d,
        _rate(author, rate, _PERSON_WEIGHT),
        _days(author.last_at, as_of),
        _days(author.first_at, as_of),
        agent.changes,
        _rate(agent, rate, _PERSON_WEIGHT),
        repository.changes,
        rate,
        _days(repository.first_at, as_of),
        *_files(history.files, rate, as_of),
    ]


def _files(files: tuple[Past, ...], repository_rate: float, as_of: datetime) -> list[float]:
    if not files:
        return [nan] * 8
    gaps = [_days(past.last_at, as_of) for past in files if past.last_at]
    return [
        max(past.changes for past in files),
        sum(past.changes for past in files) / len(files),
        max(past.changes_90d for past in files),
        max(past.failures for past in files),
        sum(past.failures for past in files),
        max(_rate(past, repository_rate, _FILE_WEIGHT) for past in files),
        min(gaps, default=nan),
        sum(not past.changes for past in files),
    ]


def _rate(past: Past, prior: float, weight: float) -> float:
    return (past.failures + weight * prior) / (past.changes + weight)


def _days(then: datetime | None, as_of: datetime) -> float:
    return nan if then is None else max(0.0, (as_of - then).total_seconds() / 86400)


def _number(value: float | None) -> float:
    return nan if value is None else float(value)
