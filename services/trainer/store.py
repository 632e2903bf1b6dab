"""All SQL of the trainer: the rows it learns from, its runs, and the registry of models."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

from asyncpg import Record

from services.trainer.domain import Run
from services.trainer.job import Fitted
from shared.contracts.models import ModelKind, RunStatus
from shared.database import Connection, Database

SCHEMA = "trainer"
CHUNK_ROWS = 5_000
# They carry whole diffs.
TOLD_CHUNK = 200
# Advisory locks have two integers; the first says what is locked, the second is the hash of the kind.
LOCK_FIT = 1
LOCK_CHAMPION = 2

TRAINABLE = """
select f.id, f.submitted_at, f.features, o.kind = 'held' as held, o.imported, o.reporter
from scoring.agent_auto_fixes f join scoring.fix_outcomes o on o.fix_id = f.id and o.effective
where o.kind in ('held', 'reverted', 'fixed_again')
  and f.feature_set = $1 and cardinality(f.features) = $2 and f.submitted_at is not null
  and (o.imported or o.reporter is distinct from f.principal)
"""

# The newest changes whose category somebody told, by declaring it or by a correction. What a type says is for others.
MOST_TOLD = 20_000
# Larger diffs are left out: so many rows of the largest stay well under 2 GB. The model that ships has seen 9 KB.
LARGEST_DIFF = 32 << 10
TOLD_CATEGORIES = """
select f.submitted_at, f.title, f.diff, f.fix_type, p.corrected_category,
  case when p.corrected_category is not null then p.corrected_by when not f.imported then f.principal end as teller
from scoring.agent_auto_fixes f left join patterns.fix_patterns p on p.fix_id = f.id
where f.submitted_at is not null and octet_length(f.diff) <= $2
  and (p.corrected_category is not null or f.fix_type is not null)
order by f.submitted_at desc, f.id limit $1
"""

# The run that does what was asked at $3: one under way, or one that was still under way then.
COVERING = """
select run_id, status, reason, model_version from trainer.training_runs
where kind = $2 and run_id <> $1 and joined_run_id is null and started_at is not null
  and case when $4 then status = 'running' else status <> 'running' and finished_at >= $3 end
order by started_at desc limit 1 for update
"""

JOIN = """
insert into trainer.training_runs as r (run_id, kind, status, stage, requested_by, request_reason, created_at,
  joined_run_id, progress, reason, model_version, finished_at)
select $1, $2, o.status, o.stage, $3, $4, $5, o.run_id, o.progress, o.reason, o.model_version, o.finished_at
from trainer.training_runs o where o.run_id = $6
on conflict (run_id) do update set status = excluded.status, stage = excluded.stage, reason = excluded.reason,
  joined_run_id = excluded.joined_run_id, progress = excluded.progress, model_version = excluded.model_version,
  finished_at = excluded.finished_at
"""

CHAMPION = """
select version, sha256, feature_set, lineage->>'formula' as formula, lineage ? 'repositories' as shipped
from trainer.models where kind = $1 and status = 'champion'
"""

# $1 and those that joined it, unless they have ended.
END = """
update trainer.training_runs set status = $2, reason = $3, model_version = $4, finished_at = now(),
  stage = case when $2 = 'succeeded' then 'done' else stage end,
  progress = case when $2 = 'succeeded' then 1 else progress end
where (run_id = $1 or joined_run_id = $1) and status in ('queued', 'running') returning run_id
"""


class Store:
    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """One connection for as long as a run takes: `try_fit_lock` lives on it."""
        async with self._database.session() as connection:
            yield connection

    async def calibration_errors(self) -> list[tuple[str, float]]:
        """(kind, ece) of the champions that were evaluated."""
        rows = await self._database.pool.fetch(
            "select kind, (metrics->>'ece')::float8 as ece from trainer.models "
            "where status = 'champion' and metrics->>'ece' is not null"
        )
        return [(row["kind"], row["ece"]) for row in rows]


async def settled(connection: Connection, run_id: UUID) -> bool:
    """Whether the run has ended, so that a redelivered request has nothing left to do."""
    query = "select status in ('succeeded', 'failed') from trainer.training_runs where run_id = $1"
    return bool(await connection.fetchval(query, run_id))


async def champion(connection: Connection, kind: ModelKind) -> Record | None:
    """`version sha256 feature_set formula shipped`."""
    return await connection.fetchrow(CHAMPION, kind)


async def try_fit_lock(connection: Connection, kind: ModelKind) -> bool:
    """One fit of a kind at a time, in all replicas; held as long as `connection` lives."""
    query = "select pg_try_advisory_lock($1, hashtext($2))"
    return bool(await connection.fetchval(query, LOCK_FIT, kind))


async def trainable(connection: Connection, feature_set: str, width: int) -> AsyncIterator[Sequence[Record]]:
    """Chunks of settled fixes that may be learned from, in no order."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        cursor = await connection.cursor(TRAINABLE, feature_set, width)
        while rows := await cursor.fetch(CHUNK_ROWS):
            yield rows


async def told_categories(connection: Connection) -> AsyncIterator[Sequence[Record]]:
    """Chunks of the newest changes that may have a category told, newest first."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        cursor = await connection.cursor(TOLD_CATEGORIES, MOST_TOLD, LARGEST_DIFF)
        while rows := await cursor.fetch(TOLD_CHUNK):
            yield rows


async def begin(connection: Connection, run: Run) -> None:
    """The run is under way; again, when an earlier try was cut off."""
    await connection.execute(
        "insert into trainer.training_runs as r "
        "(run_id, kind, status, stage, requested_by, request_reason, created_at, started_at) "
        "values ($1, $2, 'running', 'loading', $3, $4, $5, now()) "
        "on conflict (run_id) do update set status = 'running', stage = 'loading', progress = 0, joined_run_id = null, "
        "started_at = now() where r.status in ('queued', 'running')",
        run.id,
        run.kind,
        run.requested_by,
        run.reason,
        run.requested_at,
    )


async def covering(connection: Connection, run: Run, *, under_way: bool) -> Record | None:
    """Another run that answers this request, locked: `run_id status reason model_version`."""
    return await connection.fetchrow(COVERING, run.id, run.kind, run.requested_at, under_way)


async def join(connection: Connection, run: Run, other: UUID) -> None:
    """`run`, and what had joined it, follow `other`; they end as it did, or when it does."""
    await connection.execute(
        JOIN,
        run.id,
        run.kind,
        run.requested_by,
        run.reason,
        run.requested_at,
        other,
    )
    await connection.execute(
        "update trainer.training_runs set joined_run_id = $2 where joined_run_id = $1 and status = 'running'",
        run.id,
        other,
    )


async def progress(connection: Connection, run_id: UUID, stage: str, share: float) -> None:
    await connection.execute(
        "update trainer.training_runs set stage = $2, progress = $3 "
        "where (run_id = $1 or joined_run_id = $1) and status = 'running'",
        run_id,
        stage,
        share,
    )


async def end(
    connection: Connection, run_id: UUID, status: RunStatus, reason: str | None, model_version: str | None
) -> list[UUID]:
    """Ends the run and those that joined it; answers which: none when it had ended before."""
    rows = await connection.fetch(END, run_id, status, reason, model_version)
    return [row["run_id"] for row in rows]


async def lock_champion(connection: Connection, kind: ModelKind) -> str | None:
    """The champion's version; nobody else changes it before this transaction ends."""
    await connection.execute("select pg_advisory_xact_lock($1, hashtext($2))", LOCK_CHAMPION, kind)
    row = await champion(connection, kind)
    return row["version"] if row else None


async def register(
    connection: Connection, kind: ModelKind, fitted: Fitted, feature_set: str, status: str, first: int = 1
) -> str:
    """The version of the new row, `<kind>-<n>`; n is `first` or the one after the last. Needs `lock_champion`."""
    query = "select greatest(max(number) + 1, $2) from trainer.models where kind = $1"
    number = await connection.fetchval(query, kind, first)
    version = f"{kind}-{number}"
    await connection.execute(
        "insert into trainer.models (version, kind, number, status, metrics, base_rate, rows, trained_from, "
        "trained_until, sha256, feature_set, lineage) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        version,
        kind,
        number,
        status,
        fitted.metrics,
        fitted.base_rate,
        fitted.rows,
        fitted.trained_from,
        fitted.trained_until,
        fitted.sha256,
        feature_set,
        fitted.lineage,
    )
    return version


async def model(connection: Connection, version: str) -> Record | None:
    """`version kind sha256 status`."""
    return await connection.fetchrow(
        "select version, kind, sha256, status from trainer.models where version = $1", version
    )


async def promote(
    connection: Connection, kind: ModelKind, version: str, previous: str | None, by: str, reason: str
) -> int:
    """Makes `version` the champion instead of `previous`; the promotion's id. Needs `lock_champion`."""
    await connection.execute("update trainer.models set status = 'retired' where version = $1", previous)
    await connection.execute(
        "update trainer.models set status = 'champion', promoted_at = now() where version = $1", version
    )
    promotion_id: int = await connection.fetchval(
        "insert into trainer.model_promotions (version, kind, previous, promoted_by, reason) "
        "values ($1, $2, $3, $4, $5) returning id",
        version,
        kind,
        previous,
        by,
        reason,
    )
    return promotion_id
