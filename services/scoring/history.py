"""What is known of a change's author, agent, files and repository, and how a group adds to it. Pure."""

from bisect import bisect_right, insort
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, time

import msgspec

from shared.features.history import RECENT, History, Key, Past, Scope, history_of


class Event(msgspec.Struct, frozen=True):
    """A change of the group that is being scored. `failed_at` is known for imports only.

    `mends` = it says that it mends something; `expected` is the P(failed) of changes of its size.
    """

    keys: list[Key]
    as_of: datetime
    failed_at: datetime | None
    mends: bool = False
    expected: float = 0.0


class Seen:
    """What the group has of one key so far, in time order."""

    def __init__(self) -> None:
        self._changed_at: list[datetime] = []
        self._expected = [0.0]  # of as many of them, together
        self._fixed_at: list[datetime] = []
        self._failed_at: list[datetime] = []

    def add(self, event: Event) -> None:
        self._changed_at.append(event.as_of)
        self._expected.append(self._expected[-1] + event.expected)
        if event.mends:
            self._fixed_at.append(event.as_of)
        if event.failed_at is not None:
            insort(self._failed_at, event.failed_at)

    def after(self, past: Past, as_of: datetime) -> Past:
        """`past` and this, none of which is later than `as_of`; failures count from when they were seen."""
        changed, fixed, failed = self._changed_at, self._fixed_at, self._failed_at
        recent = as_of - RECENT
        old, failures = bisect_right(changed, recent), bisect_right(failed, as_of)
        return Past(
            changes=past.changes + len(changed),
            changes_90d=past.changes_90d + len(changed) - old,
            last_at=latest(past.last_at, changed[-1]),
            first_at=past.first_at or datetime.combine(changed[0].date(), time(), changed[0].tzinfo),
            failures=past.failures + failures,
            failures_90d=past.failures_90d + failures - bisect_right(failed, recent, hi=failures),
            last_failure_at=latest(past.last_failure_at, failed[failures - 1]) if failures else past.last_failure_at,
            fixes=past.fixes + len(fixed),
            fixes_90d=past.fixes_90d + len(fixed) - bisect_right(fixed, recent),
            last_fix_at=fixed[-1] if fixed else past.last_fix_at,
            expected=past.expected + self._expected[-1],
            expected_90d=past.expected_90d + self._expected[-1] - self._expected[old],
        )


def latest(one: datetime | None, other: datetime) -> datetime:
    return other if one is None else max(one, other)


def histories(changes: Sequence[Event], stored: Sequence[Mapping[Key, Past]]) -> list[History]:
    """What each change of a group knew: the stored past as of its time, and the group's own earlier changes.

    `changes` must be in the order of `as_of`; `stored[i]` is the past of `changes[i]`'s keys.
    """
    seen: dict[Key, Seen] = {}
    known = []
    for change, past in zip(changes, stored, strict=True):
        pasts = {key: past.get(key) or Past() for key in change.keys}
        for key in pasts.keys() & seen.keys():
            pasts[key] = seen[key].after(pasts[key], change.as_of)
        known.append(history_of(change.keys, pasts))
        for key in change.keys:
            seen.setdefault(key, Seen()).add(change)
    return known


class Bucket(msgspec.Struct, kw_only=True):
    """What a group adds to one key's day."""

    changes: int = 0
    failures: int = 0
    last_change_at: datetime | None = None
    last_failure_at: datetime | None = None


class Buckets:
    """Additions to the history, merged so that each row is written once and always in the same order."""

    def __init__(self) -> None:
        self._rows: dict[tuple[Key, date], Bucket] = {}

    def _row(self, key: Key, at: datetime) -> Bucket:
        return self._rows.setdefault((key, at.date()), Bucket())

    def changed(self, keys: Iterable[Key], at: datetime) -> None:
        for key in keys:
            row = self._row(key, at)
            row.changes += 1
            row.last_change_at = at if row.last_change_at is None else max(row.last_change_at, at)

    def failed(self, keys: Iterable[Key], at: datetime, times: int = 1) -> None:
        """`times` is -1 when a failure turned out to be none."""
        for key in keys:
            row = self._row(key, at)
            row.failures += times
            if times > 0:
                row.last_failure_at = at if row.last_failure_at is None else max(row.last_failure_at, at)

    def rows(self, *scopes: Scope) -> list[tuple[Key, date, Bucket]]:
        found = [(key, day, row) for (key, day), row in self._rows.items() if key.scope in scopes]
        return sorted(found, key=lambda item: (item[0], item[1]))
