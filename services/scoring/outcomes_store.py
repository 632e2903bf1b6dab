"""The SQL of outcomes: what reporters said, which word counts, and what follows from it for fixes and history."""

from collections.abc import Callable, Sequence, Set
from uuid import UUID

import asyncpg
import msgspec

from services.scoring import history_store
from services.scoring.history import Buckets
from services.scoring.outcomes import Judgement, Report, Subject, failures_moved, judge
from shared.contracts.envelope import Envelope
from shared.database import Connection, Database
from shared.outbox import put, take

SCHEMA = "scoring"
PENDING_HOURS = 24

SUBJECTS = """
select id, principal, agent_id, repository, author, paths, status, submitted_at, learning_ids
from scoring.agent_auto_fixes where id = any($1::uuid[]) and scored_at is not null order by id for update
"""
REPORTS = """
select outcome_id, fix_id, reporter, kind, observed_at, reported_at, detail, imported, state
from scoring.fix_outcomes where fix_id = any($1::uuid[])
"""
REPORT = """
insert into scoring.fix_outcomes as o (outcome_id, fix_id, reporter, kind, observed_at, reported_at, detail, imported,
  state, refused_reason)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
on conflict (outcome_id) do update set
  state = excluded.state, refused_reason = excluded.refused_reason, observed_at = excluded.observed_at
where o.state = 'pending'
"""
# Cleared before it is set: at no moment has a fix two effective outcomes.
CLEAR_EFFECTIVE = "update scoring.fix_outcomes set effective = false where fix_id = any($1::uuid[]) and effective"
SET_EFFECTIVE = "update scoring.fix_outcomes set effective = true where outcome_id = any($1::uuid[])"
SET_STATUS = "update scoring.agent_auto_fixes set status = $2 where id = $1"
OVERDUE = """
update scoring.fix_outcomes set state = 'refused', refused_reason = $2
where state = 'pending' and reported_at < now() - make_interval(hours => $1)
returning outcome_id, fix_id, reporter, kind, observed_at, reported_at, detail, imported
"""
# Left pending by a report and a fix that were written at the same moment, neither of which saw the other.
MISSED = """
select distinct o.fix_id from scoring.fix_outcomes o join scoring.agent_auto_fixes f on f.id = o.fix_id
where o.state = 'pending' and f.scored_at is not null limit 500
"""

# The events that tell of what was decided.
Announce = Callable[[Sequence[Judgement]], list[Envelope]]


class OutcomesStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def _pool(self) -> asyncpg.Pool:
        return self._database.pool

    async def report(self, reports: Sequence[Report], event_ids: Sequence[UUID], announce: Announce) -> list[Envelope]:
        """Stores what reporters said and what follows from it."""
        async with self._pool.acquire() as connection, connection.transaction():
            fresh = await take(connection, SCHEMA, event_ids)
            heard = [r for r, event_id in zip(reports, event_ids, strict=True) if event_id in fresh]
            return await settle(connection, heard, set(), announce)

    async def report_missed(self, announce: Announce) -> list[Envelope]:
        """Applies the outcomes that wait for a fix which is here."""
        async with self._pool.acquire() as connection, connection.transaction():
            missed = {row["fix_id"] for row in await connection.fetch(MISSED)}
            return await settle(connection, [], missed, announce)

    async def refuse_overdue(self, reason: str, announce: Announce) -> list[Envelope]:
        """Outcomes of a fix that nobody handed in within a day."""
        async with self._pool.acquire() as connection, connection.transaction():
            rows = await connection.fetch(OVERDUE, PENDING_HOURS, reason)
            judged = [Judgement(report=Report(**dict(r)), subject=None, refused_reason=reason) for r in rows]
            envelopes = announce(judged)
            await put(connection, SCHEMA, envelopes)
        return envelopes


async def settle(
    connection: Connection, reports: Sequence[Report], waited_for: Set[UUID], announce: Announce
) -> list[Envelope]:
    """Judges `reports`, and what waited for the fixes of `waited_for`; returns what to publish.

    A report that was judged before is left as it is.
    """
    buckets = Buckets()
    judged = await _judge(connection, reports, waited_for=waited_for, buckets=buckets)
    await history_store.add(connection, buckets)
    envelopes = announce(judged)
    await put(connection, SCHEMA, envelopes)
    return envelopes


async def _judge(
    connection: Connection, reports: Sequence[Report], *, waited_for: Set[UUID], buckets: Buckets
) -> list[Judgement]:
    ids = sorted({r.fix_id for r in reports} | waited_for)
    if not ids:
        return []
    subjects = {row["id"]: _subject(row) for row in await connection.fetch(SUBJECTS, ids)}
    accepted: dict[UUID, list[Report]] = {}
    waiting: list[Report] = []
    told = set()
    for row in await connection.fetch(REPORTS, ids):
        *said, state = row
        report = Report(**dict(zip(Report.__struct_fields__, said, strict=True)))
        if state == "pending" and report.fix_id in subjects:
            waiting.append(report)
            continue
        told.add(report.outcome_id)
        if state == "accepted":
            accepted.setdefault(report.fix_id, []).append(report)
    fresh = list({r.outcome_id: r for r in [*waiting, *reports] if r.outcome_id not in told}.values())
    judged = judge(sorted(fresh, key=lambda r: (r.reported_at, r.outcome_id)), subjects, accepted)
    await _write_judgements(connection, judged)
    failures_moved(judged, buckets)
    return judged


def _subject(row: asyncpg.Record) -> Subject:
    fields = dict(row)
    return Subject(**fields | {"paths": tuple(fields["paths"]), "learning_ids": tuple(fields["learning_ids"])})


async def _write_judgements(connection: Connection, judged: Sequence[Judgement]) -> None:
    await connection.executemany(
        REPORT, [(*msgspec.structs.astuple(j.report), j.state, j.refused_reason) for j in judged]
    )
    # The last judgement of a fix says what counts now.
    final = {j.subject.id: j for j in judged if j.subject is not None and j.after is not None}
    if not final:
        return
    await connection.execute(CLEAR_EFFECTIVE, sorted(final))
    await connection.execute(SET_EFFECTIVE, [j.after.outcome_id for j in final.values() if j.after is not None])
    await connection.executemany(SET_STATUS, [(i, j.status) for i, j in final.items()])
