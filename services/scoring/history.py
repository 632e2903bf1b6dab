"""What is known of a change's author, agent, files and repository, and how a group adds to it. Pure."""

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


def later(past: Past, events: Iterable[Event], as_of: datetime) -> Past:
    """`past` and the earlier changes of the same group, in time order; none after `as_of`."""
    for event in events:
        if event.as_of <= as_of:
            past = _and_then(past, event, as_of)
    return past


def _and_then(past: Past, event: Event, as_of: datetime) -> Past:
    """All of a group is of the last 90 days, or of an import, which is in time order."""
    at, failed_at = event.as_of, event.failed_at
    failed = failed_at is not None and failed_at <= as_of
    recent = at > as_of - RECENT
    return Past(
        changes=past.changes + 1,
        changes_90d=past.changes_90d + recent,
        last_at=at if past.last_at is None else max(past.last_at, at),
        first_at=past.first_at or datetime.combine(at.date(), time(), at.tzinfo),
        failures=past.failures + failed,
        failures_90d=past.failures_90d + (failed and failed_at is not None and failed_at > as_of - RECENT),
        last_failure_at=max(past.last_failure_at or failed_at, failed_at)
        if failed and failed_at
        else past.last_failure_at,
        fixes=past.fixes + event.mends,
        fixes_90d=past.fixes_90d + (event.mends and recent),
        last_fix_at=at if event.mends else past.last_fix_at,
        expected=past.expected + event.expected,
        expected_90d=past.expected_90d + event.expected * recent,
    )


def histories(changes: Sequence[Event], stored: Sequence[Mapping[Key, Past]]) -> list[History]:
    """What each change of a group knew: the stored past as of its time, and the group's own earlier changes.

    `changes` must be in the order of `as_of`; `stored[i]` is the past of `changes[i]`'s keys.
    """
    seen: dict[Key, list[Event]] = {}
    known = []
    for change, past in zip(changes, stored, strict=True):
        pasts = {key: later(past.get(key, Past()), seen.get(key, ()), change.as_of) for key in change.keys}
        known.append(history_of(change.keys, pasts))
        for key in change.keys:
            seen.setdefault(key, []).append(change)
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
