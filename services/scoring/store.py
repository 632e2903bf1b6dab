"""All of scoring's SQL. The only writer of the schema `scoring`; reads the registry in `trainer`."""

from collections.abc import Callable, Mapping, Sequence, Set
from datetime import datetime
from uuid import UUID

import asyncpg
import msgspec

from services.scoring.domain import Thresholds
from services.scoring.history import Buckets, Event, Key
from services.scoring.outcomes import Judgement, Report, Subject, failures_moved, judge
from shared.contracts.commands import ThresholdsSet
from shared.contracts.envelope import Envelope
from shared.contracts.fixes import Decision, FixCategorized, FixSubmitted, Source
from shared.database import Connection, Database, storable
from shared.features.history import Past
from shared.outbox import columns, put, take

SCHEMA = "scoring"
PENDING_HOURS = 24

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
    min(h.day) filter (where h.last_change_at <= w.as_of)::timestamp at time zone 'utc' as first_at
  from (
    select day, changes, failures, last_change_at, last_failure_at from scoring.author_history a
      where w.scope in ('author', 'agent') and a.repository = w.repository and a.role = w.scope and a.actor = w.name
    union all
    select day, changes, failures, last_change_at, last_failure_at from scoring.file_history f
      where w.scope = 'file' and f.repository = w.repository and f.path = w.name
    union all
    select day, changes, failures, last_change_at, last_failure_at from scoring.repository_history r
      where w.scope = 'repository' and r.repository = w.repository
  ) h
  where h.day <= (w.as_of at time zone 'utc')::date
) b
where b.last_at is not null
union all
select null, f.id, null, null, null, null, null from scoring.agent_auto_fixes f
where f.id = any($6::uuid[]) and f.scored_at is not null
"""

# One statement, so one round trip and one transaction: inbox, fixes, history and outbox, of those messages only that
# are new. A stub (category or rejection known first) is completed; a fix that was scored already is left as it is.
# Everybody locks history in one order: repositories, authors, files (Postgres runs the last insert first), each by key.
RECORD = """
with fresh as (
  insert into scoring.inbox (event_id) select e from unnest($1::uuid[]) as e order by e
  on conflict do nothing returning event_id
), given as (
  select * from jsonb_to_recordset($2::jsonb) as g(
    event_id uuid, id uuid, principal text, agent_id text, repository text, external_id text, author text, title text,
    fix_type text, domains text[], learning_ids uuid[], signals jsonb, imported boolean, submitted_at timestamptz,
    diff text, paths text[], scored_at timestamptz, confidence float8, source text, degraded boolean,
    model_version text, evidence integer, low_evidence boolean, decision text, features text, feature_set text,
    as_of timestamptz)
), new as (
  insert into scoring.agent_auto_fixes as f (
    id, principal, agent_id, repository, external_id, author, title, fix_type, domains, learning_ids, signals, imported,
    submitted_at, diff, paths, scored_at, confidence, source, degraded, model_version, evidence, low_evidence,
    decision, features, feature_set, as_of, status)
  select
    id, principal, agent_id, repository, external_id, author, title, fix_type, domains, learning_ids, signals, imported,
    submitted_at, diff, paths, scored_at, confidence, source, degraded, model_version, evidence, low_evidence,
    decision, features::float8[], feature_set, as_of, 'scored'
  from given join fresh using (event_id) order by id
  on conflict (id) do update set
    principal = excluded.principal, agent_id = excluded.agent_id, repository = excluded.repository,
    external_id = excluded.external_id, author = excluded.author, title = excluded.title,
    fix_type = excluded.fix_type, domains = excluded.domains, learning_ids = excluded.learning_ids,
    signals = excluded.signals, imported = excluded.imported, submitted_at = excluded.submitted_at,
    diff = excluded.diff, paths = excluded.paths, scored_at = excluded.scored_at, confidence = excluded.confidence,
    source = excluded.source, degraded = excluded.degraded, model_version = excluded.model_version,
    evidence = excluded.evidence, low_evidence = excluded.low_evidence, decision = excluded.decision,
    features = excluded.features, feature_set = excluded.feature_set, as_of = excluded.as_of,
    status = 'scored', status_reason = null
  where f.scored_at is null
  returning id, repository, as_of
), grown as (
  select n.repository, k.scope, k.name, (n.as_of at time zone 'utc')::date as day, count(*)::integer as changes,
    max(n.as_of) as last_change_at
  from unnest($3::uuid[], $4::text[], $5::text[]) as k(fix_id, scope, name) join new n on n.id = k.fix_id
  group by 1, 2, 3, 4
), files as (
  insert into scoring.file_history as h (repository, path, day, changes, last_change_at)
  select repository, name, day, changes, last_change_at from grown where scope = 'file'
  order by repository collate "C", name collate "C", day
  on conflict (repository, path, day) do update set changes = h.changes + excluded.changes,
    last_change_at = greatest(h.last_change_at, excluded.last_change_at)
), people as (
  insert into scoring.author_history as h (repository, role, actor, day, changes, last_change_at)
  select repository, scope, name, day, changes, last_change_at from grown where scope in ('author', 'agent')
  order by scope desc, repository collate "C", name collate "C", day
  on conflict (repository, role, actor, day) do update set changes = h.changes + excluded.changes,
    last_change_at = greatest(h.last_change_at, excluded.last_change_at)
), repositories as (
  insert into scoring.repository_history as h (repository, day, changes, last_change_at)
  select repository, day, changes, last_change_at from grown where scope = 'repository'
  order by repository collate "C", day
  on conflict (repository, day) do update set changes = h.changes + excluded.changes,
    last_change_at = greatest(h.last_change_at, excluded.last_change_at)
), said as (
  insert into scoring.outbox (event_id, subject, headers, payload)
  select e.event_id, e.subject, e.headers, e.payload
  from unnest($6::uuid[], $7::uuid[], $8::text[], $9::jsonb[], $10::bytea[])
    as e(fix_id, event_id, subject, headers, payload)
  join new n on n.id = e.fix_id
  on conflict do nothing
)
select n.id, exists (select from scoring.fix_outcomes o where o.fix_id = n.id and o.state = 'pending') as waited_for
from new n
"""

REJECT = """
insert into scoring.agent_auto_fixes as f (id, principal, agent_id, repository, external_id, title, submitted_at,
  status, status_reason)
values ($1, $2, $3, $4, $5, $6, $7, 'rejected', $8)
on conflict (id) do update set status = 'rejected', status_reason = excluded.status_reason,
  principal = excluded.principal, agent_id = excluded.agent_id, repository = excluded.repository,
  external_id = excluded.external_id, title = excluded.title, submitted_at = excluded.submitted_at
where f.scored_at is null
returning id
"""

CATEGORIZE = """
with fresh as (
  insert into scoring.inbox (event_id) select distinct e from unnest($1::uuid[]) as e order by e
  on conflict do nothing returning event_id
)
insert into scoring.agent_auto_fixes as f (id, category, category_confidence, pattern_id, categorized_revision)
select distinct on (c.id) c.id, c.category, c.category_confidence, c.pattern_id, c.revision
from unnest($1::uuid[], $2::uuid[], $3::text[], $4::float8[], $5::uuid[], $6::integer[])
  as c(event_id, id, category, category_confidence, pattern_id, revision)
join fresh using (event_id) order by c.id, c.revision desc
on conflict (id) do update set category = excluded.category, category_confidence = excluded.category_confidence,
  pattern_id = excluded.pattern_id, categorized_revision = excluded.categorized_revision
where f.categorized_revision is null or f.categorized_revision < excluded.categorized_revision
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
on conflict (outcome_id) do update set state = excluded.state, refused_reason = excluded.refused_reason
where o.state = 'pending'
"""
CATEGORIZED = ("id", "category", "category_confidence", "pattern_id", "revision")

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
THRESHOLDS = "select repository, auto_merge, block from scoring.thresholds"
SET_THRESHOLDS = """
insert into scoring.thresholds as t (repository, auto_merge, block) values ($1, $2, $3)
on conflict (repository) do update set auto_merge = excluded.auto_merge, block = excluded.block, updated_at = now()
"""
CHAMPION = """
select p.id as promotion_id, m.version, m.kind, m.sha256, p.previous
from trainer.models m join trainer.model_promotions p on p.version = m.version
where m.kind = $1 and m.status = 'champion' order by p.id desc limit 1
"""


# What of a submission is stored as it came.
FIX_COLUMNS = (
    "id", "principal", "agent_id", "repository", "external_id", "author", "title", "fix_type", "domains",
    "learning_ids", "signals", "submitted_at", "diff",
)  # fmt: skip
CALIBRATION_ERROR = """
select coalesce(sum(count), 0)::integer, sum(count * abs(predicted - observed))::float8 / nullif(sum(count), 0)
from scoring.calibration($1, $2)
"""
SCORES = "select confidence from scoring.agent_auto_fixes where model_version = $1 and not imported order by scored_at"
LAST_RUN = """
select r.run_id, r.created_at, coalesce((select m.rows from trainer.models m where m.version = $1), 0) as learned
from (select 1) one left join (
  select run_id, created_at from trainer.training_runs where kind = 'confidence' and joined_run_id is null
  order by created_at desc limit 1
) r on true
"""
# An import is under way while it brought something within the last minute.
NEWS = """
select
  (select count(*) from (
    select from scoring.fix_outcomes o where o.effective and o.kind in ('held', 'reverted', 'fixed_again')
      and o.reported_at > coalesce($1, '-infinity'::timestamptz) limit $2) o)::integer as new,
  exists (select from scoring.fix_outcomes o where o.effective and o.imported
    and o.reported_at > now() - interval '1 minute') as importing
"""


class Scored(msgspec.Struct, frozen=True, kw_only=True):
    """One row of `agent_auto_fixes` as it is first written."""

    fix: FixSubmitted
    event_id: UUID
    paths: tuple[str, ...]
    scored_at: datetime
    confidence: float
    source: Source
    degraded: bool
    model_version: str | None
    evidence: int | None
    low_evidence: bool | None
    decision: Decision
    features: list[float]
    feature_set: str
    as_of: datetime

    def row(self) -> dict[str, object]:
        """As `RECORD` reads it."""
        fix, row = self.fix, msgspec.structs.asdict(self)
        del row["fix"]
        for name in FIX_COLUMNS:
            row[name] = getattr(fix, name)
        # As text, for JSON has no NaN.
        features = "{" + ",".join(map(repr, self.features)) + "}"
        return row | {"features": features, "imported": fix.outcome is not None}


Announce = Callable[[Sequence[Judgement]], list[Envelope]]


class Store:
    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def _pool(self) -> asyncpg.Pool:
        return self._database.pool

    async def pasts(self, events: Sequence[Event], ids: Sequence[UUID] = ()) -> tuple[list[dict[Key, Past]], set[UUID]]:
        """Each event's keys' past as of its time (a key without one is absent); which `ids` are scored already."""
        # Candidates of one request are of one time and mostly of one repository: what they share is read once.
        wanted = list({(e.as_of, key): None for e in events for key in e.keys})
        rows = await self._pool.fetch(
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

    async def record(
        self, scored: Sequence[Scored], events: Mapping[UUID, Event], said: Sequence[Envelope],
        event_ids: Sequence[UUID], reports: Sequence[Report], announce: Announce,
    ) -> tuple[set[UUID], list[Envelope]]:  # fmt: skip
        """Stores a group, what is said of each of it, its history, and the outcomes that came with it or waited for it.

        `said[i]` announces `scored[i]`; `event_ids` are all the messages of the group. Returns the fixes that are new,
        and what follows of the outcomes. A report that was judged before is left as it is.
        """
        async with self._pool.acquire() as connection:
            if not reports:
                new = await _record(connection, scored, events, said, event_ids)
            else:
                async with connection.transaction():
                    new = await _record(connection, scored, events, said, event_ids)
                    return set(new), await self._settle(connection, reports, _waited_for(new), announce)
            # Seldom. What a crash leaves here is found by `report_missed`.
            if waited_for := _waited_for(new):
                async with connection.transaction():
                    return set(new), await self._settle(connection, [], waited_for, announce)
        return set(new), []

    async def _settle(
        self, connection: Connection, reports: Sequence[Report], waited_for: Set[UUID], announce: Announce
    ) -> list[Envelope]:
        buckets = Buckets()
        judged = await self._judge(connection, reports, waited_for=waited_for, buckets=buckets)
        await _add(connection, buckets)
        envelopes = announce(judged)
        await put(connection, SCHEMA, envelopes)
        return envelopes

    async def report(self, reports: Sequence[Report], event_ids: Sequence[UUID], announce: Announce) -> list[Envelope]:
        """Stores what reporters said and what follows from it."""
        async with self._pool.acquire() as connection, connection.transaction():
            fresh = await take(connection, SCHEMA, event_ids)
            heard = [r for r, event_id in zip(reports, event_ids, strict=True) if event_id in fresh]
            return await self._settle(connection, heard, set(), announce)

    async def report_missed(self, announce: Announce) -> list[Envelope]:
        """Applies the outcomes that wait for a fix which is here."""
        async with self._pool.acquire() as connection, connection.transaction():
            missed = {row["fix_id"] for row in await connection.fetch(MISSED)}
            return await self._settle(connection, [], missed, announce)

    async def _judge(
        self, connection: Connection, reports: Sequence[Report], *, waited_for: Set[UUID], buckets: Buckets
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

    async def categorize(self, events: Sequence[tuple[UUID, FixCategorized]]) -> None:
        """Keeps beside each fix what patterns said of it; `events` come with the ids of their messages."""
        await self._pool.execute(
            CATEGORIZE,
            [event_id for event_id, _ in events],
            *([getattr(event, name) for _, event in events] for name in CATEGORIZED),
        )

    async def reject(
        self, fix_id: UUID, fix: FixSubmitted | None, reason: str, envelopes: Sequence[Envelope]
    ) -> Sequence[Envelope]:
        """Says on the fix that it was given up; returns what to publish: nothing when it was scored all the same.

        `fix` is None when not even its message could be read.
        """
        texts = ("principal", "agent_id", "repository", "external_id", "title")
        row = [text and storable(text) for text in (getattr(fix, name, None) for name in texts)]
        at = fix.submitted_at if fix else None
        async with self._pool.acquire() as connection, connection.transaction():
            if not await connection.fetchval(REJECT, fix_id, *row, at, storable(reason)):
                return []
            await put(connection, SCHEMA, envelopes)
        return envelopes

    async def refuse_overdue(self, reason: str, announce: Announce) -> list[Envelope]:
        """Outcomes of a fix that nobody handed in within a day."""
        async with self._pool.acquire() as connection, connection.transaction():
            rows = await connection.fetch(OVERDUE, PENDING_HOURS, reason)
            judged = [Judgement(report=Report(**dict(r)), subject=None, refused_reason=reason) for r in rows]
            envelopes = announce(judged)
            await put(connection, SCHEMA, envelopes)
        return envelopes

    async def thresholds(self) -> dict[str, Thresholds]:
        rows = await self._pool.fetch(THRESHOLDS)
        return {r["repository"]: Thresholds(auto_merge=r["auto_merge"], block=r["block"]) for r in rows}

    async def set_thresholds(self, command: ThresholdsSet) -> None:
        await self._pool.execute(SET_THRESHOLDS, command.repository, command.auto_merge, command.block)

    async def champion_version(self, kind: str) -> str | None:
        row = await self.champion(kind)
        return None if row is None else row["version"]

    async def calibration_error(self, version: str, most: int) -> tuple[int, float | None]:
        """(outcomes, expected calibration error) of the newest `most` outcomes that came after their prediction."""
        count, error = await self._pool.fetchrow(CALIBRATION_ERROR, version, most)
        return count, error

    async def scores(self, version: str, window: int) -> tuple[list[float], list[float]]:
        """The first and the latest live confidences of a version, `window` of each, none of them twice."""
        first, last = [
            [row["confidence"] for row in await self._pool.fetch(f"{SCORES} {order} limit $2", version, 2 * window)]
            for order in ("asc", "desc")
        ]
        return first[:window], last[: min(window, max(0, len(first) - window))]

    async def last_run(self, version: str | None) -> tuple[UUID | None, datetime | None, int]:
        """The last run for confidence, when it was asked for, and how many rows the model `version` learned from."""
        run_id, created_at, learned = await self._pool.fetchrow(LAST_RUN, version)
        return run_id, created_at, learned

    async def news(self, since: datetime | None, most: int) -> tuple[int, bool]:
        """(settled outcomes reported since, at most `most`; whether an import brings more right now)."""
        new, importing = await self._pool.fetchrow(NEWS, since, most)
        return new, importing

    async def champion(self, kind: str) -> asyncpg.Record | None:
        """promotion_id, version, kind, sha256, previous of the model that should answer now."""
        return await self._pool.fetchrow(CHAMPION, kind)


async def _record(
    connection: Connection, scored: Sequence[Scored], events: Mapping[UUID, Event], said: Sequence[Envelope],
    event_ids: Sequence[UUID],
) -> dict[UUID, bool]:  # fmt: skip
    """The fixes that are new, and whether outcomes wait for them."""
    keys = [(s.fix.id, key) for s in scored for key in events[s.fix.id].keys]
    rows = await connection.fetch(
        RECORD,
        sorted(set(event_ids)),
        [s.row() for s in scored],
        [fix_id for fix_id, _ in keys],
        [key.scope for _, key in keys],
        [key.name for _, key in keys],
        [s.fix.id for s in scored],
        *columns(said),
    )
    return {row["id"]: row["waited_for"] for row in rows}


def _waited_for(new: Mapping[UUID, bool]) -> set[UUID]:
    return {fix_id for fix_id, waited_for in new.items() if waited_for}


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


async def _add(connection: Connection, buckets: Buckets) -> None:
    for scope, extra in (("repository", 0), ("author", 2), ("agent", 2), ("file", 1)):
        rows = [
            (key.repository, *(key.scope, key.name)[2 - extra :], day, *msgspec.structs.astuple(bucket))
            for key, day, bucket in buckets.rows(scope)  # type: ignore[arg-type]
        ]
        await connection.executemany(HISTORY["author" if scope == "agent" else scope] + ADD, rows)
