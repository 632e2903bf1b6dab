"""The numbers a model sees of a fix: one definition, used when it is scored and when a model is trained."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from math import log, nan
from operator import itemgetter

from shared.contracts.fixes import Signals
from shared.features.change import CHANGE_FEATURES, change_features, check_claimed
from shared.features.fix_type import FIX_TYPES, MENDING, normalize_fix_type
from shared.features.history import History, Past
from shared.features.size import size_risk

__all__ = [
    "FEATURES",
    "FEATURE_SET",
    "change_features",
    "check_claimed",
    "joined",
    "normalize_fix_type",
    "remembered",
    "unclaimed",
    "vector",
]

# Raise it when a feature keeps its name and means something else.
_DEFINITION = 2

# Rates are shrunk: a new key has the rate of what it belongs to, and moves from it with its own changes.
# Share of failures in the public histories of 20 open-source repositories (84,607 changes).
_PRIOR_FAILURE_RATE = 0.14
# Share of changes there that mend something.
_PRIOR_FIX_SHARE = 0.38
# How many changes at the prior rate every key starts with.
_REPOSITORY_WEIGHT, _PERSON_WEIGHT, _FILE_WEIGHT = 20.0, 10.0, 3.0
# So many failures, seen and expected alike, has every key to begin with.
_EXCESS_WEIGHT = 3.0

_HISTORY = [
    "author_changes",
    "author_changes_90d",
    "author_failure_rate",
    "author_failure_rate_90d",
    "author_failure_excess",
    "author_failure_excess_90d",
    "author_gap_days",
    "author_failure_gap_days",
    "author_age_days",
    "author_fix_share",
    "author_language_changes",
    "author_language_failure_rate",
    "author_language_failure_excess",
    "author_directory_changes",
    "author_directory_failure_rate",
    "author_directory_gap_days",
    "agent_changes",
    "agent_failure_rate",
    "repository_changes",
    "repository_changes_90d",
    "repository_failure_rate",
    "repository_failure_rate_90d",
    "repository_failure_excess",
    "repository_failure_gap_days",
    "repository_fix_share",
    "repository_age_days",
    "directory_changes",
    "directory_changes_90d",
    "directory_failure_rate",
    "directory_failure_excess",
    "directory_failure_gap_days",
    "directory_fix_share",
    "directory_fix_gap_days",
    "file_changes_max",
    "file_changes_mean",
    "file_changes_90d_max",
    "file_failures_max",
    "file_failures_sum",
    "file_failures_90d_sum",
    "file_failure_rate",
    "file_failure_rate_max",
    "file_failure_excess",
    "file_failure_gap_days_min",
    "file_fix_share",
    "file_fixes_90d_sum",
    "file_fix_gap_days_min",
    "file_gap_days_min",
    "file_gap_days_mean",
    "file_age_days_max",
    "file_age_days_min",
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
    "is_fix": MENDING,
    "is_rework": frozenset({"refactor", "perf"}),
    "is_upkeep": frozenset({"build", "chore", "ci", "docs", "style", "test"}),
}

FEATURES: tuple[str, ...] = (*CHANGE_FEATURES, "size_risk", *_HISTORY, *_SIGNALS, *_TYPES)
# Those that a history tells, and those that the submitter declares.
REMEMBERED, DECLARED = tuple(_HISTORY), tuple(_TYPES)
_changed = itemgetter(*CHANGE_FEATURES)
_NOTHING_REMEMBERED, _NOTHING_CLAIMED = (nan,) * len(_HISTORY), (nan,) * len(_SIGNALS)
_DECLARED: dict[str | None, tuple[float, ...]] = {None: (nan,) * len(_TYPES)}
_DECLARED |= {known: tuple(float(known in types) for types in _TYPES.values()) for known in FIX_TYPES}
_CLAIMED = FEATURES.index(next(iter(_SIGNALS)))
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
    return joined(change, remembered(history, as_of), normalize_fix_type(fix_type), signals)


def remembered(history: History | None, as_of: datetime) -> Sequence[float]:
    """What the past tells, for each of `REMEMBERED`: of changes that share it, the same.

    The first change of a repository has no past that could tell anything.
    """
    if history is None or not history.repository.changes:
        return _NOTHING_REMEMBERED
    return [*map(float, _history(history, as_of))]


def joined(
    change: Mapping[str, float], remembered: Sequence[float], fix_type: str | None, signals: Signals | None
) -> list[float]:
    """`vector` of what is `remembered`; `fix_type` is normalized."""
    claimed = [_number(read(signals)) for read in _SIGNALS.values()] if signals else _NOTHING_CLAIMED
    return [*map(float, _changed(change)), size_risk(change), *remembered, *claimed, *_DECLARED[fix_type]]


def unclaimed(vector: Sequence[float]) -> list[float]:
    """The same without the submitter's signals."""
    return [*vector[:_CLAIMED], *_NOTHING_CLAIMED, *vector[_CLAIMED + len(_NOTHING_CLAIMED) :]]


def _history(history: History, as_of: datetime) -> list[float]:
    """In the order of `_HISTORY`."""
    author, agent, repository = history.author, history.agent, history.repository
    rate = _rate(repository, _PRIOR_FAILURE_RATE, _REPOSITORY_WEIGHT)
    own = _rate(author, rate, _PERSON_WEIGHT)
    fixes = _fix_share(repository, _PRIOR_FIX_SHARE)
    return [
        author.changes,
        author.changes_90d,
        own,
        _recent_rate(author, own, _PERSON_WEIGHT),
        _excess(author.failures, author.expected),
        _excess(author.failures_90d, author.expected_90d),
        _days(author.last_at, as_of),
        _days(author.last_failure_at, as_of),
        _days(author.first_at, as_of),
        _fix_share(author, fixes),
        *_expertise(history, own, as_of),
        agent.changes,
        _rate(agent, rate, _PERSON_WEIGHT),
        repository.changes,
        repository.changes_90d,
        rate,
        _recent_rate(repository, rate, _REPOSITORY_WEIGHT),
        _excess(repository.failures, repository.expected),
        _days(repository.last_failure_at, as_of),
        fixes,
        _days(repository.first_at, as_of),
        *_place(history.place, rate, fixes, as_of),
        *_files(history.files, rate, fixes, as_of),
    ]


def _expertise(history: History, author_rate: float, as_of: datetime) -> list[float]:
    language, directory = history.language, history.directory
    if language is None or directory is None:
        return [nan] * 6
    return [
        language.changes,
        _rate(language, author_rate, _PERSON_WEIGHT),
        _excess(language.failures, language.expected),
        directory.changes,
        _rate(directory, author_rate, _PERSON_WEIGHT),
        _days(directory.last_at, as_of),
    ]


def _place(place: Past | None, rate: float, fixes: float, as_of: datetime) -> list[float]:
    if place is None:
        return [nan] * 7
    return [
        place.changes,
        place.changes_90d,
        _rate(place, rate, _PERSON_WEIGHT),
        _excess(place.failures, place.expected),
        _days(place.last_failure_at, as_of),
        _fix_share(place, fixes),
        _days(place.last_fix_at, as_of),
    ]


def _files(files: tuple[Past, ...], repository_rate: float, fixes: float, as_of: datetime) -> list[float]:
    if not files:
        return [nan] * 18
    gaps = [_days(past.last_at, as_of) for past in files if past.last_at]
    ages = [_days(past.first_at, as_of) for past in files if past.first_at]
    together = Past(
        changes=sum(past.changes for past in files),
        failures=sum(past.failures for past in files),
        fixes=sum(past.fixes for past in files),
        expected=sum(past.expected for past in files),
    )
    return [
        max(past.changes for past in files),
        together.changes / len(files),
        max(past.changes_90d for past in files),
        max(past.failures for past in files),
        together.failures,
        sum(past.failures_90d for past in files),
        _rate(together, repository_rate, 2 * _FILE_WEIGHT),
        max(_rate(past, repository_rate, _FILE_WEIGHT) for past in files),
        _excess(together.failures, together.expected),
        min((_days(past.last_failure_at, as_of) for past in files if past.last_failure_at), default=nan),
        _fix_share(together, fixes),
        sum(past.fixes_90d for past in files),
        min((_days(past.last_fix_at, as_of) for past in files if past.last_fix_at), default=nan),
        min(gaps, default=nan),
        sum(gaps) / len(gaps) if gaps else nan,
        max(ages, default=nan),
        min(ages, default=nan),
        sum(not past.changes for past in files),
    ]


def _recent_rate(past: Past, prior: float, weight: float) -> float:
    """Failures seen in the last 90 days over the changes made in them: it follows a change of habits."""
    return (past.failures_90d + weight * prior) / (past.changes_90d + weight)


def _excess(failures: int, expected: float) -> float:
    """Log of failures over those expected of changes of such sizes: 0 = as everybody's, and for a new key."""
    return log((failures + _EXCESS_WEIGHT) / (expected + _EXCESS_WEIGHT))


def _fix_share(past: Past, prior: float) -> float:
    return (past.fixes + _PERSON_WEIGHT * prior) / (past.changes + _PERSON_WEIGHT)


def _rate(past: Past, prior: float, weight: float) -> float:
    return (past.failures + weight * prior) / (past.changes + weight)


def _days(then: datetime | None, as_of: datetime) -> float:
    return nan if then is None else max(0.0, (as_of - then).total_seconds() / 86400)


def _number(value: float | None) -> float:
    return nan if value is None else float(value)
