"""A labelled history, gone through in time order: what was known of each change when serving would have scored it."""

import heapq
from collections import deque
from collections.abc import Iterable, Sequence
from datetime import date, datetime, time

import msgspec

from shared.features.history import RECENT, Key, Past


class _Day(msgspec.Struct):
    """What happened to a key on a day: the database keeps the same buckets."""

    day: date
    changes: int = 0
    failures: int = 0
    fixes: int = 0
    expected: float = 0.0


class _Account(msgspec.Struct):
    """One key's past so far: its sums, and the last 90 days apart."""

    sums: _Day
    days: deque[_Day] = msgspec.field(default_factory=deque)
    last: datetime | None = None
    last_failure: datetime | None = None
    last_fix: datetime | None = None

    def rows(self, at: datetime) -> tuple[_Day, _Day]:
        """Where something of that time is added: the sums and the day."""
        if not self.days or self.days[-1].day != at.date():
            self.days.append(_Day(at.date()))
        return self.sums, self.days[-1]

    def past(self, as_of: datetime) -> Past:
        oldest = (as_of - RECENT).date()
        while self.days and self.days[0].day <= oldest:
            self.days.popleft()
        return Past(
            changes=self.sums.changes,
            failures=self.sums.failures,
            fixes=self.sums.fixes,
            expected=self.sums.expected,
            changes_90d=sum(day.changes for day in self.days),
            failures_90d=sum(day.failures for day in self.days),
            fixes_90d=sum(day.fixes for day in self.days),
            expected_90d=sum(day.expected for day in self.days),
            first_at=datetime.combine(self.sums.day, time(), as_of.tzinfo),
            last_at=self.last,
            last_failure_at=self.last_failure,
            last_fix_at=self.last_fix,
        )


class Ledger:
    """The history of one repository, told in time order (UTC): what it answers is never later than what it was told."""

    def __init__(self) -> None:
        self._accounts: dict[Key, _Account] = {}
        self._coming: list[tuple[datetime, int, Sequence[Key]]] = []
        self._told = 0

    def pasts(self, keys: Iterable[Key], as_of: datetime) -> dict[Key, Past]:
        """Of the keys that have one."""
        self._let_fail(as_of)
        return {key: self._accounts[key].past(as_of) for key in keys if key in self._accounts}

    def changed(
        self, keys: Sequence[Key], at: datetime, *, mends: bool, expected: float, failed_at: datetime | None
    ) -> None:
        """`failed_at` may lie ahead: until then nobody knows."""
        for key in keys:
            account = self._accounts.setdefault(key, _Account(_Day(at.date())))
            account.last = at
            account.last_fix = at if mends else account.last_fix
            for row in account.rows(at):
                row.changes += 1
                row.fixes += mends
                row.expected += expected
        if failed_at is not None:
            self._told += 1
            heapq.heappush(self._coming, (failed_at, self._told, keys))

    def _let_fail(self, as_of: datetime) -> None:
        while self._coming and self._coming[0][0] <= as_of:
            at, _, keys = heapq.heappop(self._coming)
            for key in keys:
                account = self._accounts[key]
                account.last_failure = at
                for row in account.rows(at):
                    row.failures += 1
