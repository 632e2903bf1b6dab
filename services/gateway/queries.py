"""All of the gateway's SQL: SELECT only, with a role that can do nothing else."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any, Generic, TypeVar
from uuid import UUID

import asyncpg
import msgspec

from services.gateway.keys import Principal
from services.gateway.problems import store_unavailable
from services.gateway.views import Fix, Learning, Model, Pattern, Promotion, TrainingRun
from shared.contracts.fixes import OutcomeKind
from shared.database import Database

T = TypeVar("T")
AWAY = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
)

KEY = """
select id, principal, scopes, agents, prefix from control.api_keys
where hash = $1 and revoked_at is null and (expires_at is null or expires_at > now())
"""

FIX = """
select f.id, f.status, coalesce(f.agent_id, p.agent_id) as agent_id,
  coalesce(f.repository, p.repository) as repository,
  f.external_id, f.author, f.title, f.fix_type, f.domains, coalesce(f.status_reason, p.status_reason) as status_reason,
  f.submitted_at, f.scored_at, f.confidence, f.source,
  case when f.scored_at is not null then f.degraded end as degraded,
  f.model_version, f.evidence, f.low_evidence, f.decision,
  coalesce(p.corrected_category, p.category, f.category) as category,
  coalesce(p.category_confidence, f.category_confidence) as category_confidence,
  coalesce(p.pattern_id, f.pattern_id) as pattern_id, p.duplicate_of, p.related,
  case when o.kind is not null then jsonb_build_object('kind', o.kind, 'observed_at', o.observed_at) end as outcome
from scoring.agent_auto_fixes f
left join patterns.fix_patterns p on p.fix_id = f.id
left join scoring.fix_outcomes o on o.fix_id = f.id and o.effective
"""
FIX_FILTERS = {
    "agent_id": "f.agent_id = {}",
    "repository": "f.repository = {}",
    "category": "coalesce(p.corrected_category, p.category, f.category) = {}",
    "status": "f.status = {}",
    "domain": "f.domains @> array[{}::text]",
    "since": "f.submitted_at >= {}",
    "until": "f.submitted_at < {}",
    "q": "strpos(lower(f.title), lower({})) > 0",
    "id": "f.id = {}",
}
FIX_ORDER = ("f.submitted_at", "f.id")

KNOWN_FIXES = """
select f.id, o.kind from scoring.agent_auto_fixes f
left join scoring.fix_outcomes o on o.fix_id = f.id and o.effective
where f.id = any($1::uuid[]) and f.scored_at is not null
"""
SUBMITTER = "select principal from scoring.agent_auto_fixes where id = $1"

LEARNING = """
select l.id, l.title, l.body, l.agent_id, l.agent_domains, l.category,
  case when l.uses > 0 then l.successes::double precision / l.uses end as confidence, l.pattern_id, l.uses, l.successes,
  l.status, l.superseded_by, l.created_at, l.updated_at, l.version
from patterns.agent_learnings l
"""
LEARNING_FILTERS = {
    "domain": "l.agent_domains @> array[{}::text]",
    "agent_id": "l.agent_id = {}",
    "category": "l.category = {}",
    "q": "strpos(lower(l.title || ' ' || l.body), lower({})) > 0",
}
LEARNING_ORDER = ("l.created_at", "l.id")

PATTERN = """
select p.id, p.label, p.category, p.support, p.example_fix_id, p.first_seen_at, p.last_seen_at from patterns.patterns p
"""
PATTERN_ORDER = ("p.first_seen_at", "p.id")

MODEL = """
select version, kind, status, metrics, base_rate, rows, trained_from, trained_until, sha256, created_at, promoted_at
from trainer.models m
"""
MODELS = MODEL + "where $1::text is null or kind = $1 order by created_at desc, version limit 200"
PROMOTIONS = """
select version, previous, promoted_at, promoted_by, reason from trainer.model_promotions
where version = $1 order by id desc limit 200
"""
RUN = """
select r.run_id, r.kind, coalesce(j.status, r.status) as status, coalesce(j.progress, r.progress) as progress,
  coalesce(j.reason, r.reason) as reason, coalesce(j.model_version, r.model_version) as model_version, r.joined_run_id
from trainer.training_runs r left join trainer.training_runs j on j.run_id = r.joined_run_id where r.run_id = $1
"""


class Keyset(msgspec.Struct, frozen=True):
    """Where a page ended: the next one begins strictly after it, whatever was inserted meanwhile."""

    at: datetime
    id: UUID


class Listing(msgspec.Struct, Generic[T], frozen=True):
    """`after` is None on the last page."""

    items: list[T]
    after: Keyset | None


def page_query(
    select: str, filters: dict[str, str], order: tuple[str, str], wanted: dict[str, Any], after: Keyset | None
) -> tuple[str, list[Any]]:
    """The SQL of one page and its arguments, the limit left as the last one. Filter values are always arguments."""
    clauses, arguments = [f"{order[0]} is not null"], []
    for name, value in wanted.items():
        if value is not None:
            arguments.append(value)
            clauses.append(filters[name].format(f"${len(arguments)}"))
    if after is not None:
        arguments += [after.at, after.id]
        clauses.append(f"({order[0]}, {order[1]}) < (${len(arguments) - 1}, ${len(arguments)})")
    where = " and ".join(clauses)
    return f"{select} where {where} order by {order[0]} desc, {order[1]} desc limit ${len(arguments) + 1}", arguments


class Queries:
    """Every method raises `ApiError` 503 `store_unavailable` while Postgres is away."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def _ask(self, run: Callable[["asyncpg.Pool"], Awaitable[T]]) -> T:
        if self._database.away:
            raise store_unavailable()
        try:
            return await self._database.result(run(self._database.pool))
        except AWAY as error:
            raise store_unavailable() from error
        except asyncpg.InterfaceError as error:
            if await self._database.alive():
                raise
            raise store_unavailable() from error

    async def _one(self, cls: type[T], sql: str, *arguments: Any) -> T | None:
        row = await self._ask(lambda pool: pool.fetchrow(sql, *arguments))
        return None if row is None else msgspec.convert(dict(row), cls)

    async def _all(self, cls: type[T], sql: str, *arguments: Any) -> list[T]:
        rows = await self._ask(lambda pool: pool.fetch(sql, *arguments))
        return [msgspec.convert(dict(row), cls) for row in rows]

    async def _page(
        self, cls: type[T], select: str, filters: dict[str, str], order: tuple[str, str], wanted: dict[str, Any],
        after: Keyset | None, limit: int,
    ) -> Listing[T]:  # fmt: skip
        sql, arguments = page_query(select, filters, order, wanted, after)
        items = await self._all(cls, sql, *arguments, limit + 1)
        last = items[limit - 1] if len(items) > limit else None
        at = order[0].split(".")[1]
        return Listing(items[:limit], None if last is None else Keyset(getattr(last, at), last.id))  # type: ignore[attr-defined]

    async def principal(self, digest: bytes) -> Principal | None:
        row = await self._ask(lambda pool: pool.fetchrow(KEY, digest))
        if row is None:
            return None
        return Principal(row["id"], row["principal"], frozenset(row["scopes"]), tuple(row["agents"]), row["prefix"])

    async def fix(self, fix_id: UUID) -> Fix | None:
        return await self._one(Fix, FIX + " where f.id = $1", fix_id)

    async def fixes(self, wanted: dict[str, Any], after: Keyset | None, limit: int) -> Listing[Fix]:
        return await self._page(Fix, FIX, FIX_FILTERS, FIX_ORDER, wanted, after, limit)

    async def known_fixes(self, ids: Sequence[UUID]) -> dict[UUID, OutcomeKind | None]:
        """The fixes among `ids` that were scored, with the outcome that counts."""
        rows = await self._ask(lambda pool: pool.fetch(KNOWN_FIXES, ids))
        return {row["id"]: row["kind"] for row in rows}

    async def submitter(self, fix_id: UUID) -> str | None:
        principal: str | None = await self._ask(lambda pool: pool.fetchval(SUBMITTER, fix_id))
        return principal

    async def learning(self, learning_id: UUID) -> Learning | None:
        return await self._one(Learning, LEARNING + " where l.id = $1", learning_id)

    async def learnings(self, wanted: dict[str, Any], after: Keyset | None, limit: int) -> Listing[Learning]:
        return await self._page(Learning, LEARNING, LEARNING_FILTERS, LEARNING_ORDER, wanted, after, limit)

    async def pattern(self, pattern_id: UUID) -> Pattern | None:
        return await self._one(Pattern, PATTERN + " where p.id = $1", pattern_id)

    async def patterns(self, after: Keyset | None, limit: int) -> Listing[Pattern]:
        return await self._page(Pattern, PATTERN, {}, PATTERN_ORDER, {}, after, limit)

    async def model(self, version: str) -> Model | None:
        return await self._one(Model, MODEL + "where version = $1", version)

    async def models(self, kind: str | None) -> list[Model]:
        return await self._all(Model, MODELS, kind)

    async def promotions(self, version: str) -> list[Promotion]:
        return await self._all(Promotion, PROMOTIONS, version)

    async def training_run(self, run_id: UUID) -> TrainingRun | None:
        return await self._one(TrainingRun, RUN, run_id)
