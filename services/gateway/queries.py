"""The reads of fixes, models and keys: SELECT only, with a role that can do nothing else."""

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from services.gateway.coalescer import Coalescer
from services.gateway.keys import Principal
from services.gateway.page_queries import WORDS, Keyset, Pages, Search, Source
from services.gateway.reads import Listing, Reads
from services.gateway.views import Fix, Model, Promotion, TrainingRun
from shared.contracts.fixes import OutcomeKind
from shared.contracts.models import ModelKind
from shared.database import Database

KEY = """
select id, principal, scopes, agents, prefix from control.api_keys
where hash = $1 and revoked_at is null and (expires_at is null or expires_at > now())
"""

FIX_FIELDS = """
select f.id, f.status, coalesce(f.agent_id, p.agent_id) as agent_id,
  coalesce(f.repository, p.repository) as repository,
  f.external_id, f.author, f.title, f.fix_type, f.domains, coalesce(f.status_reason, p.status_reason) as status_reason,
  f.submitted_at, f.scored_at, f.confidence, f.source,
  case when f.scored_at is not null then f.degraded end as degraded,
  f.model_version, f.evidence, f.low_evidence, f.decision,
  coalesce(p.corrected_category, p.category, f.category) as category,
  case when p.corrected_category is null then coalesce(p.category_confidence, f.category_confidence) end
    as category_confidence,
  coalesce(p.pattern_id, f.pattern_id) as pattern_id, p.duplicate_of, p.related,
  case when o.kind is not null then jsonb_build_object('kind', o.kind, 'observed_at', o.observed_at) end as outcome
"""
FIX_TABLES = """
from scoring.agent_auto_fixes f
left join patterns.fix_patterns p on p.fix_id = f.id
left join scoring.fix_outcomes o on o.fix_id = f.id and o.effective
"""
FIX = f"{FIX_FIELDS} {FIX_TABLES}"
NAMED_FIXES = FIX + " where f.id = any($1::uuid[])"


def within(at: str) -> dict[str, str]:
    return {"since": at + " >= {}", "until": at + " < {}"}


FIXES = Source(
    "scoring.agent_auto_fixes f",
    "f.submitted_at",
    "f.id",
    within("f.submitted_at")
    | {
        "agent_id": "f.agent_id = {}",
        "repository": "f.repository = {}",
        "status": "f.status = {}",
        "q": "f.words @@ to_tsquery('simple', {})",
        "id": "f.id = {}",
    },
)
# One at most, so that every filter will do.
FIXES_NAMED = FIXES._replace(
    tables="scoring.agent_auto_fixes f left join patterns.fix_patterns p on p.fix_id = f.id",
    filters={
        **FIXES.filters,
        "category": "coalesce(p.corrected_category, p.category) = {}",
        "domain": "f.domains @> array[{}::text]",
    },
)
FIXES_BY_WORDS = Search(
    "scoring.fixes_found",
    {
        "q": WORDS,
        "agent_id": "of_agent => {}",
        "repository": "of_repository => {}",
        "since": "since => {}",
        "until": "until => {}",
    },
)
FIXES_BY_DOMAIN = Source(
    "scoring.fix_domains d",
    "d.submitted_at",
    "d.fix_id",
    within("d.submitted_at") | {"domain": "d.domain = {}", "repository": "d.repository = {}"},
)
# What patterns was told, scoring may not have stored yet.
FIXES_BY_CATEGORY = Source(
    "patterns.fix_patterns p join scoring.agent_auto_fixes f on f.id = p.fix_id and f.submitted_at is not null",
    "p.submitted_at",
    "p.fix_id",
    within("p.submitted_at")
    | {
        "agent_id": "p.agent_id = {}",
        "repository": "p.repository = {}",
        "category": "coalesce(p.corrected_category, p.category) = {}",
    },
)
FIX_PAGES = Pages(
    FIX_FIELDS,
    FIX_TABLES,
    "f.id",
    FIXES,
    by={("id",): FIXES_NAMED, ("q",): FIXES_BY_WORDS, ("domain",): FIXES_BY_DOMAIN, ("category",): FIXES_BY_CATEGORY},
)

KNOWN_FIXES = """
select f.id, o.kind from scoring.agent_auto_fixes f
left join scoring.fix_outcomes o on o.fix_id = f.id and o.effective
where f.id = any($1::uuid[]) and f.scored_at is not null
"""
STORED_FIXES = "select id from scoring.agent_auto_fixes where id = any($1::uuid[])"
REVISION = "select revision from patterns.fix_patterns where fix_id = $1"
SUBMITTER = "select principal from scoring.agent_auto_fixes where id = $1"

MODEL = """
select version, kind, status, metrics, base_rate, rows, trained_from, trained_until, sha256, created_at, promoted_at
from trainer.models m
"""
MODELS = MODEL + "where $1::text is null or kind = $1 order by created_at desc, version limit 200"
CHAMPION = "select version from trainer.models where kind = $1 and status = 'champion'"
PROMOTIONS = """
select version, previous, promoted_at, promoted_by, reason from trainer.model_promotions
where version = $1 order by id desc limit 200
"""
RUN = """
select r.run_id, r.kind, coalesce(j.status, r.status) as status, coalesce(j.progress, r.progress) as progress,
  coalesce(j.reason, r.reason) as reason, coalesce(j.model_version, r.model_version) as model_version, r.joined_run_id
from trainer.training_runs r left join trainer.training_runs j on j.run_id = r.joined_run_id where r.run_id = $1
"""


class Queries(Reads):
    """Single fixes that are asked for while others are read come along with the next."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._fixes: Coalescer[UUID, Fix | None] = Coalescer(self._named)
        self._stored: Coalescer[UUID, bool] = Coalescer(self._are_stored)

    async def principal(self, digest: bytes) -> Principal | None:
        row = await self._ask(lambda pool: pool.fetchrow(KEY, digest))
        if row is None:
            return None
        return Principal(row["id"], row["principal"], frozenset(row["scopes"]), tuple(row["agents"]), row["prefix"])

    def fix(self, fix_id: UUID) -> asyncio.Future[Fix | None]:
        return self._fixes.ask(fix_id)

    def has_fix(self, fix_id: UUID) -> asyncio.Future[bool]:
        return self._stored.ask(fix_id)

    async def _named(self, ids: Sequence[UUID]) -> list[Fix | None]:
        found = {fix.id: fix for fix in await self._all(Fix, NAMED_FIXES, ids)}
        return [found.get(fix_id) for fix_id in ids]

    async def _are_stored(self, ids: Sequence[UUID]) -> list[bool]:
        rows = await self._ask(lambda pool: pool.fetch(STORED_FIXES, ids))
        found = {row["id"] for row in rows}
        return [fix_id in found for fix_id in ids]

    async def fixes(self, wanted: dict[str, Any], after: Keyset | None, limit: int) -> Listing[Fix]:
        return await self._page(Fix, FIX_PAGES, wanted, after, limit)

    async def known_fixes(self, ids: Sequence[UUID]) -> dict[UUID, OutcomeKind | None]:
        """The fixes among `ids` that were scored, with the outcome that counts."""
        rows = await self._ask(lambda pool: pool.fetch(KNOWN_FIXES, ids))
        return {row["id"]: row["kind"] for row in rows}

    async def submitter(self, fix_id: UUID) -> str | None:
        principal: str | None = await self._ask(lambda pool: pool.fetchval(SUBMITTER, fix_id))
        return principal

    async def revision(self, fix_id: UUID) -> int | None:
        """Of what patterns says of the fix; None while it says nothing."""
        revision: int | None = await self._ask(lambda pool: pool.fetchval(REVISION, fix_id))
        return revision

    async def model(self, version: str) -> Model | None:
        return await self._one(Model, MODEL + "where version = $1", version)

    async def models(self, kind: str | None) -> list[Model]:
        return await self._all(Model, MODELS, kind)

    async def champion(self, kind: ModelKind) -> str | None:
        """The version that answers now."""
        version: str | None = await self._ask(lambda pool: pool.fetchval(CHAMPION, kind))
        return version

    async def promotions(self, version: str) -> list[Promotion]:
        return await self._all(Promotion, PROMOTIONS, version)

    async def training_run(self, run_id: UUID) -> TrainingRun | None:
        return await self._one(TrainingRun, RUN, run_id)
