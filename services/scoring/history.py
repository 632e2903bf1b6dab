"""What is known of a change's author, agent, files and repository, and how a group adds to it. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Literal

import msgspec

from shared.features.history import History, Past

RECENT = timedelta(days=90)

Scope = Literal["author", "agent", "repository", "file"]


class Key(msgspec.Struct, frozen=True, order=True):
    """Whose past: `name` is an author, an agent or a path; empty for the repository itself."""

    repository: str
    scope: Scope
    name: str = ""


def keys_of(repository: str, author: str | None, agent_id: str, paths: Iterable[str]) -> list[Key]:
    """Author, agent and repository first, then one key a touched file. An unnamed author is the agent."""
    people = [Key(repository, "author", author or agent_id), Key(repository, "agent", agent_id)]
    return [*people, Key(repository, "repository"), *(Key(repository, "file", path) for path in paths)]


class Event(msgspec.Struct, frozen=True):
    """A change of the group that is being scored. `failed_at` is known for imports only."""

    keys: list[Key]
    as_of: datetime
    failed_at: datetime | None


def later(past: Past, events: Iterable[tuple[datetime, datetime | None]], as_of: datetime) -> Past:
    """`past` and the earlier changes of the same group, each `(changed_at, failed_at | None)`; none after `as_of`."""
    changes, failures, recent, last = past.changes, past.failures, past.changes_90d, past.last_at
    first = past.first_at
    for changed_at, failed_at in events:
        if changed_at > as_of:
            continue
        changes += 1
        recent += changed_at > as_of - RECENT
        failures += failed_at is not None and failed_at <= as_of
        last = changed_at if last is None or changed_at > last else last
        first = changed_at if first is None else first
    return Past(changes=changes, failures=failures, changes_90d=recent, last_at=last, first_at=first)


def histories(changes: Sequence[Event], stored: Sequence[Mapping[Key, Past]]) -> list[History]:
    """What each change of a group knew: the stored past as of its time, and the group's own earlier changes.

    `changes` must be in the order of `as_of`; `stored[i]` is the past of `changes[i]`'s keys.
    """
    seen: dict[Key, list[tuple[datetime, datetime | None]]] = {}
    known = []
    for change, past in zip(changes, stored, strict=True):
        keys = change.keys
        pasts = [later(past.get(key, Past()), seen.get(key, ()), change.as_of) for key in keys]
        known.append(History(author=pasts[0], agent=pasts[1], repository=pasts[2], files=tuple(pasts[3:])))
        for key in keys:
            seen.setdefault(key, []).append((change.as_of, change.failed_at))
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
