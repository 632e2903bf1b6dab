"""The SQL of history: what is known of a change's author, agent, files and repository, in day buckets."""

from collections.abc import Sequence
from uuid import UUID

import asyncpg
import msgspec

from services.scoring.history import Buckets, Event
from shared.database import Connection
from shared.features.history import Key, Past

# One indexed statement for a whole group: every key's buckets up to the as-of time. A bucket that also holds
# something later is left out whole, so the past never contains the future. Rows without `i` name the fixes that were
# scored before.
PAST = """
with want as (
  select * from unnest($1::int[], $2::timestamptz[], $3::text[], $4::text[], $5::text[])
    as w(i, as_of, repository, scope, name)
)
select w.i, null::uuid as scored, b.*
from want w cross join lateral (
  select
    coalesce(sum(h.changes) filter (where h.last_change_at <= w.as_of), 0)::int as changes,
    coalesce(sum(h.failures) filter (where h.last_failure_at <= w.as_of), 0)::int as failures,
    coalesce(sum(h.changes) filter (
      where h.last_change_at <= w.as_of and h.day > (w.as_of at time zone 'utc')::date - 90), 0)::int as changes_90d,
    max(h.last_change_at) filter (where h.last_change_at <= w.as_of) as last_at,
    min(h.day) filter (where h.last_change_at <= w.as_of)::timestamp at time zone 'utc' as first_at,
    coalesce(sum(h.failures) filter (
      where h.last_failure_at <= w.as_of and h.day > (w.as_of at time zone 'utc')::date - 90), 0)::int as failures_90d,
    max(h.last_failure_at) filter (where h.failures > 0 and h.last_failure_at <= w.as_of) as last_failure_at,
    coalesce(sum(h.fixes) filter (where h.last_change_at <= w.as_of), 0)::int as fixes,
    coalesce(sum(h.fixes) filter (
      where h.last_change_at <= w.as_of and h.day > (w.as_of at time zone 'utc')::date - 90), 0)::int as fixes_90d,
    max(h.last_fix_at) filter (where h.last_change_at <= w.as_of) as last_fix_at,
    coalesce(sum(h.expected) filter (where h.last_change_at <= w.as_of), 0) as expected,
    coalesce(sum(h.expected) filter (
      where h.last_change_at <= w.as_of and h.day > (w.as_of at time zone 'utc')::date - 90), 0) as expected_90d
  from (
    select day, changes, failures, last_change_at, last_failure_at, fixes, last_fix_at, expected
      from scoring.author_history a
      where w.scope in ('author', 'agent') and a.repository = w.repository and a.role = w.scope and a.actor = w.name
    union all
    select day, changes, failures, last_change_at, last_failure_at, fixes, last_fix_at, expected
      from scoring.file_history f
      where w.scope = 'file' and f.repository = w.repository and f.path = w.name
    union all
    select day, changes, failures, last_change_at, last_failure_at, fixes, last_fix_at, expected
      from scoring.repository_history r
      where w.scope = 'repository' and r.repository = w.repository
  ) h
  where h.day <= (w.as_of at time zone 'utc')::date
) b
where b.last_at is not null
union all
select null, f.id, null, null, null, null, null, null, null, null, null, null, null, null
from scoring.agent_auto_fixes f where f.id = any($6::uuid[]) and f.scored_at is not null
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
    # Candidates of one request are of one time and mostly of one repository: what they share is read once.
    wanted = list({(e.as_of, key): None for e in events for key in e.keys})
    rows = await pool.fetch(
        PAST,
        list(range(len(wanted))),
        [at for at, _ in wanted],
        [key.repository for _, key in wanted],
        [key.scope for _, key in wanted],
        [key.name for _, key in wanted],
        ids,
    )
    found = {wanted[i]: Past(*past) for i, _, *past in rows if i is not None}
    scored = {fix_id for i, fix_id, *_ in rows if i is None}
    return [{key: found[e.as_of, key] for key in e.keys if (e.as_of, key) in found} for e in events], scored


async def add(connection: Connection, buckets: Buckets) -> None:
    for scope, extra in (("repository", 0), ("author", 2), ("agent", 2), ("file", 1)):
        rows = [
            (key.repository, *(key.scope, key.name)[2 - extra :], day, *msgspec.structs.astuple(bucket))
            for key, day, bucket in buckets.rows(scope)  # type: ignore[arg-type]
        ]
        await connection.executemany(HISTORY["author" if scope == "agent" else scope] + ADD, rows)
