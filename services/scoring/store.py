"""The SQL of fixes and thresholds. With its neighbours the only writer of the schema `scoring`."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

import asyncpg
import msgspec

from services.scoring import history_store
from services.scoring.domain import Thresholds
from services.scoring.history import Event
from services.scoring.outcomes import FAILED, Judgement, Report, Subject, first_words
from services.scoring.outcomes_store import SCHEMA, Announce, settle
from shared.contracts.commands import ThresholdsSet
from shared.contracts.envelope import Envelope
from shared.contracts.fixes import Decision, FixCategorized, FixSubmitted, Source
from shared.database import Connection, Database, json_text, storable
from shared.features.history import Key, Past
from shared.outbox import columns, put

# One statement, so one round trip and one transaction: inbox, fixes, history, the outcomes that came along, and outbox,
# of those messages only that are new. A stub (category or rejection known first) is completed; a fix that was scored
# already is left as it is. Everybody locks history in one order: repositories, authors, files (Postgres runs the last
# insert first), each by key.
GROWN = "changes, last_change_at, fixes, last_fix_at, expected, failures, last_failure_at"
GROW = """changes = h.changes + excluded.changes, fixes = h.fixes + excluded.fixes,
    expected = h.expected + excluded.expected, failures = h.failures + excluded.failures,
    last_change_at = greatest(h.last_change_at, excluded.last_change_at),
    last_fix_at = greatest(h.last_fix_at, excluded.last_fix_at),
    last_failure_at = greatest(h.last_failure_at, excluded.last_failure_at)"""
RECORD = f"""
with fresh as (
  insert into scoring.inbox (event_id) select e from unnest($1::uuid[]) as e order by e
  on conflict do nothing returning event_id
), given as (
  select *, unnest as diff from rows from (
    json_to_recordset($2::json) as (
      event_id uuid, id uuid, principal text, agent_id text, repository text, external_id text, author text,
      title text, fix_type text, domains text[], learning_ids uuid[], signals jsonb, imported boolean,
      submitted_at timestamptz, paths text[], scored_at timestamptz, confidence float8, source text, degraded boolean,
      model_version text, evidence integer, low_evidence boolean, decision text, features text, feature_set text,
      as_of timestamptz, mends boolean, expected float8, scopes text[], names text[], status text,
      failed_at timestamptz, outcome_id uuid, kind text, observed_at timestamptz, reported_at timestamptz, detail text,
      refused_reason text),
    unnest($3::text[]))
), new as (
  insert into scoring.agent_auto_fixes as f (
    id, principal, agent_id, repository, external_id, author, title, fix_type, domains, learning_ids, signals, imported,
    submitted_at, diff, paths, scored_at, confidence, source, degraded, model_version, evidence, low_evidence,
    decision, features, feature_set, as_of, status)
  select
    id, principal, agent_id, repository, external_id, author, title, fix_type, domains, learning_ids, signals, imported,
    submitted_at, diff, paths, scored_at, confidence, source, degraded, model_version, evidence, low_evidence,
    decision, features::float8[], feature_set, as_of, status
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
    status = excluded.status, status_reason = null
  where f.scored_at is null
  returning id, repository, as_of
), told as (
  insert into scoring.fix_outcomes (outcome_id, fix_id, reporter, kind, observed_at, reported_at, detail, imported,
    state, refused_reason, effective)
  select g.outcome_id, g.id, g.principal, g.kind, g.observed_at, g.reported_at, g.detail, true,
    case when g.refused_reason is null then 'accepted' else 'refused' end, g.refused_reason, g.refused_reason is null
  from given g join new n using (id) where g.outcome_id is not null
  on conflict do nothing
), happened as (
  select g.repository, g.scopes, g.names, (g.as_of at time zone 'utc')::date as day,
    1 as changes, g.as_of as last_change_at, g.mends::integer as fixes,
    case when g.mends then g.as_of end as last_fix_at, g.expected,
    0 as failures, null::timestamptz as last_failure_at
  from given g join new n using (id)
  union all
  select g.repository, g.scopes, g.names, (g.failed_at at time zone 'utc')::date, 0, null, 0, null, 0, 1, g.failed_at
  from given g join new n using (id) where g.failed_at is not null
), grown as (
  select h.repository, k.scope, k.name, h.day, sum(changes)::integer as changes, max(last_change_at) as last_change_at,
    sum(fixes)::integer as fixes, max(last_fix_at) as last_fix_at, sum(expected) as expected,
    sum(failures)::integer as failures, max(last_failure_at) as last_failure_at
  from happened h cross join unnest(h.scopes, h.names) as k(scope, name)
  group by 1, 2, 3, 4
), files as (
  insert into scoring.file_history as h (repository, path, day, {GROWN})
  select repository, name, day, {GROWN} from grown where scope = 'file'
  order by repository collate "C", name collate "C", day
  on conflict (repository, path, day) do update set {GROW}
), people as (
  insert into scoring.author_history as h (repository, role, actor, day, {GROWN})
  select repository, scope, name, day, {GROWN} from grown where scope in ('author', 'agent')
  order by scope desc, repository collate "C", name collate "C", day
  on conflict (repository, role, actor, day) do update set {GROW}
), repositories as (
  insert into scoring.repository_history as h (repository, day, {GROWN})
  select repository, day, {GROWN} from grown where scope = 'repository'
  order by repository collate "C", day
  on conflict (repository, day) do update set {GROW}
), said as (
  insert into scoring.outbox (event_id, subject, headers, payload)
  select e.event_id, e.subject, e.headers, e.payload
  from unnest($4::uuid[], $5::uuid[], $6::text[], $7::jsonb[], $8::bytea[])
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

CATEGORIZED = ("id", "category", "category_confidence", "pattern_id", "revision")

THRESHOLDS = "select repository, auto_merge, block from scoring.thresholds"
SET_THRESHOLDS = """
insert into scoring.thresholds as t (repository, auto_merge, block) values ($1, $2, $3)
on conflict (repository) do update set auto_merge = excluded.auto_merge, block = excluded.block, updated_at = now()
"""

# What of a submission is stored as it came.
FIX_COLUMNS = (
    "id", "principal", "agent_id", "repository", "external_id", "author", "title", "fix_type", "domains",
    "learning_ids", "signals", "submitted_at",
)  # fmt: skip


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
    event: Event

    def subject(self) -> Subject:
        fix = self.fix
        return Subject(
            id=fix.id, principal=fix.principal, agent_id=fix.agent_id, repository=fix.repository, author=fix.author,
            paths=self.paths, status="scored", submitted_at=fix.submitted_at, learning_ids=fix.learning_ids,
        )  # fmt: skip

    def row(self, told: Judgement | None) -> dict[str, object]:
        """As `RECORD` reads it, with the outcome that came along; the diff, which is long, goes apart."""
        row = msgspec.structs.asdict(self)
        fix: FixSubmitted = row.pop("fix")
        event: Event = row.pop("event")
        for name in FIX_COLUMNS:
            row[name] = getattr(fix, name)
        row |= {
            "features": float_array(self.features),
            "imported": fix.outcome is not None,
            "status": "scored",
            "as_of": event.as_of,
            "mends": event.mends,
            "expected": event.expected,
            "scopes": [key.scope for key in event.keys],
            "names": [key.name for key in event.keys],
        }
        return row if told is None else row | outcome_row(told)


def float_array(values: Sequence[float]) -> str:
    """As Postgres writes it: JSON has no NaN. None of them is infinite."""
    return "{" + json_text(values)[1:-1].replace("null", "NaN") + "}"


def outcome_row(told: Judgement) -> dict[str, object]:
    report, after = told.report, told.after
    return {
        "outcome_id": report.outcome_id,
        "kind": report.kind,
        "observed_at": report.observed_at,
        "reported_at": report.reported_at,
        "detail": report.detail,
        "refused_reason": told.refused_reason,
        "status": told.status or "scored",
        "failed_at": report.observed_at if after is not None and after.kind in FAILED else None,
    }


class Store:
    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def _pool(self) -> asyncpg.Pool:
        return self._database.pool

    async def pasts(self, events: Sequence[Event], ids: Sequence[UUID] = ()) -> tuple[list[dict[Key, Past]], set[UUID]]:
        """Each event's keys' past as of its time (a key without one is absent); which `ids` are scored already."""
        return await history_store.pasts(self._pool, events, ids)

    async def record(
        self, scored: Sequence[Scored], said: Sequence[Envelope], event_ids: Sequence[UUID],
        reports: Sequence[Report], announce: Announce,
    ) -> tuple[set[UUID], list[Envelope]]:  # fmt: skip
        """Stores a group, what is said of each of it, its history, and the outcomes that came with it or waited for it.

        `said[i]` announces `scored[i]`; `event_ids` are all the messages of the group. Returns the fixes that are new,
        and what follows of the outcomes. A report that was judged before is left as it is.
        """
        told, others = first_words(reports, {s.fix.id: s.subject() for s in scored})
        follow = dict(zip(told, announce(list(told.values())), strict=True))
        about = [*zip([s.fix.id for s in scored], said, strict=True), *follow.items()]
        rows = [s.row(told.get(s.fix.id)) for s in scored]
        async with self._pool.acquire() as connection:
            new = await _record(connection, rows, [s.fix.diff for s in scored], about, event_ids)
            # Of fixes that were here before, or that others have spoken of. What a crash leaves of it comes again, or
            # is found by `report_missed`.
            others += [told[fix_id].report for fix_id in told if fix_id not in new]
            decided = [envelope for fix_id, envelope in follow.items() if fix_id in new]
            if others or _waited_for(new):
                async with connection.transaction():
                    decided += await settle(connection, others, _waited_for(new), announce)
        return set(new), decided

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

    async def thresholds(self) -> dict[str, Thresholds]:
        rows = await self._pool.fetch(THRESHOLDS)
        return {r["repository"]: Thresholds(auto_merge=r["auto_merge"], block=r["block"]) for r in rows}

    async def set_thresholds(self, command: ThresholdsSet) -> None:
        await self._pool.execute(SET_THRESHOLDS, command.repository, command.auto_merge, command.block)


async def _record(
    connection: Connection, rows: Sequence[Mapping[str, object]], diffs: Sequence[str | None],
    said: Sequence[tuple[UUID, Envelope]], event_ids: Sequence[UUID],
) -> dict[UUID, bool]:  # fmt: skip
    """The fixes that are new, and whether outcomes wait for them. `said` is by fix."""
    found = await connection.fetch(
        RECORD,
        sorted(set(event_ids)),
        json_text(rows),
        diffs,
        [fix_id for fix_id, _ in said],
        *columns([envelope for _, envelope in said]),
    )
    return {row["id"]: row["waited_for"] for row in found}


def _waited_for(new: Mapping[UUID, bool]) -> set[UUID]:
    return {fix_id for fix_id, waited_for in new.items() if waited_for}
