"""The SQL of history: what is known of a change's author, agent, files and repository, in day buckets."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

import asyncpg
import msgspec

from services.scoring.history import Buckets, Event
from shared.database import Connection, json_text
from shared.features.history import Key, Past

# A key's buckets, and how far back they are read one by one: what is older is of no time's last 90 days, and holds
# nothing that is later than any of the times. So it is added up once a key, not once a time.
BUCKETS = """
select day, changes, failures, last_change_at, last_failure_at, fixes, last_fix_at, expected
  from scoring.author_history a
  where k.scope in ('author', 'agent') and a.repository = k.repository and a.role = k.scope and a.actor = k.name
union all
select day, changes, failures, last_change_at, last_failure_at, fixes, last_fix_at, expected
  from scoring.file_history f
  where k.scope = 'file' and f.repository = k.repository and f.path = k.name
union all
select day, changes, failures, last_change_at, last_failure_at, fixes, last_fix_at, expected
  from scoring.repository_history r
  where k.scope = 'repository' and r.repository = k.repository
"""
# One indexed statement for a whole group. A bucket that also holds something later is left out whole, so the past
# never contains the future. Rows without `key` name the fixes that were scored before.
PAST = f"""
select k.i as key, t.i as time, null::uuid as scored,
  old.changes + new.changes as changes, old.failures + new.failures as failures, new.changes_90d,
  greatest(old.last_at, new.last_at) as last_at,
  least(old.first_day, new.first_day)::timestamp at time zone 'utc' as first_at, new.failures_90d,
  greatest(old.last_failure_at, new.last_failure_at) as last_failure_at,
  old.fixes + new.fixes as fixes, new.fixes_90d, greatest(old.last_fix_at, new.last_fix_at) as last_fix_at,
  old.expected + new.expected as expected, new.expected_90d
from json_to_recordset($1::json)
  as k(i integer, repository text, scope text, name text, times timestamptz[], days date[])
cross join lateral (
  select
    coalesce(sum(h.changes), 0)::int as changes, coalesce(sum(h.failures), 0)::int as failures,
    max(h.last_change_at) as last_at, min(h.day) filter (where h.last_change_at is not null) as first_day,
    max(h.last_failure_at) filter (where h.failures > 0) as last_failure_at,
    coalesce(sum(h.fixes), 0)::int as fixes, max(h.last_fix_at) as last_fix_at,
    coalesce(sum(h.expected), 0) as expected
  from ({BUCKETS}) h where h.day <= k.days[1] - 90
) old
cross join unnest(k.times, k.days) with ordinality as t(as_of, day, i)
cross join lateral (
  select
    coalesce(sum(h.changes) filter (where h.last_change_at <= t.as_of), 0)::int as changes,
    coalesce(sum(h.failures) filter (where h.last_failure_at <= t.as_of), 0)::int as failures,
    coalesce(sum(h.changes) filter (
      where h.last_change_at <= t.as_of and h.day > t.day - 90), 0)::int as changes_90d,
    max(h.last_change_at) filter (where h.last_change_at <= t.as_of) as last_at,
    min(h.day) filter (where h.last_change_at <= t.as_of) as first_day,
    coalesce(sum(h.failures) filter (
      where h.last_failure_at <= t.as_of and h.day > t.day - 90), 0)::int as failures_90d,
    max(h.last_failure_at) filter (where h.failures > 0 and h.last_failure_at <= t.as_of) as last_failure_at,
    coalesce(sum(h.fixes) filter (where h.last_change_at <= t.as_of), 0)::int as fixes,
    coalesce(sum(h.fixes) filter (
      where h.last_change_at <= t.as_of and h.day > t.day - 90), 0)::int as fixes_90d,
    max(h.last_fix_at) filter (where h.last_change_at <= t.as_of) as last_fix_at,
    coalesce(sum(h.expected) filter (where h.last_change_at <= t.as_of), 0) as expected,
    coalesce(sum(h.expected) filter (
      where h.last_change_at <= t.as_of and h.day > t.day - 90), 0) as expected_90d
  from ({BUCKETS}) h where h.day > k.days[1] - 90 and h.day <= t.day
) new
where coalesce(old.last_at, new.last_at) is not null
union all
select null, null, f.id, null, null, null, null, null, null, null, null, null, null, null, null
from scoring.agent_auto_fixes f where f.id = any($2::uuid[]) and f.scored_at is not null
"""

HISTORY = {
    "author": """
insert into scoring.author_history as h
  (repository, role, actor, day, changes, failures, last_change_at, last_failure_at)
values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict (repository, role, actor, day) do update set
""",
    "file": """
insert into scoring.file_history as h (repository, path, day, changes, failures, last_change_at, last_failure_at)
values ($1, $2, $3, $4, $5, $6, $7) on conflict (repository, path, day) do update set
""",
    "repository": """
insert into scoring.repository_history as h (repository, day, changes, failures, last_change_at, last_failure_at)
values ($1, $2, $3, $4, $5, $6) on conflict (repository, day) do update set
""",
}
ADD = """
  changes = h.changes + excluded.changes, failures = h.failures + excluded.failures,
  last_change_at = greatest(h.last_change_at, excluded.last_change_at),
  last_failure_at = greatest(h.last_failure_at, excluded.last_failure_at)
"""


async def pasts(
    pool: asyncpg.Pool, events: Sequence[Event], ids: Sequence[UUID]
) -> tuple[list[dict[Key, Past]], set[UUID]]:
    """Each event's keys' past as of its time (a key without one is absent); which `ids` are scored already."""
    # What changes of a group share is asked for once: the same key, and of it the same time.
    times: dict[Key, set[datetime]] = {}
    for event in events:
        for key in event.keys:
            times.setdefault(key, set()).add(event.as_of)
    keys, ordered = list(times), [sorted(each) for each in times.values()]
    rows = await pool.fetch(
        PAST,
        json_text(
            [
                {"i": i, "repository": key.repository, "scope": key.scope, "name": key.name, "times": each}
                | {"days": [at.astimezone(UTC).date() for at in each]}
                for i, (key, each) in enumerate(zip(keys, ordered, strict=True))
            ]
        ),
        ids,
    )
    found = {(ordered[i][t - 1], keys[i]): Past(*past) for i, t, _, *past in rows if i is not None}
    scored = {fix_id for i, _, fix_id, *_ in rows if i is None}
    return [{key: found[e.as_of, key] for key in e.keys if (e.as_of, key) in found} for e in events], scored


async def add(connection: Connection, buckets: Buckets) -> None:
    for scope, extra in (("repository", 0), ("author", 2), ("agent", 2), ("file", 1)):
        rows = [
            (key.repository, *(key.scope, key.name)[2 - extra :], day, *msgspec.structs.astuple(bucket))
            for key, day, bucket in buckets.rows(scope)  # type: ignore[arg-type]
        ]
        await connection.executemany(HISTORY["author" if scope == "agent" else scope] + ADD, rows)
