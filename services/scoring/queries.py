"""What scoring reads to judge itself: the champion, how its answers fared, and what came since it learned."""

from datetime import datetime
from uuid import UUID

import asyncpg

from shared.contracts.models import ModelKind
from shared.database import Database

CHAMPION = """
select p.id as promotion_id, m.version, m.kind, m.sha256, p.previous
from trainer.models m join trainer.model_promotions p on p.version = m.version
where m.kind = $1 and m.status = 'champion' order by p.id desc limit 1
"""
CALIBRATION_ERROR = """
select coalesce(sum(count), 0)::integer, sum(count * abs(predicted - observed))::float8 / nullif(sum(count), 0)
from scoring.calibration($1, $2)
"""
SCORES = "select confidence from scoring.agent_auto_fixes where model_version = $1 and not imported order by scored_at"
LAST_RUN = """
select r.run_id, r.created_at, coalesce((select m.rows from trainer.models m where m.version = $1), 0) as learned
from (select 1) one left join (
  select run_id, created_at from trainer.training_runs where kind = $2 and joined_run_id is null
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
# Of changes that a category model could learn from; one that was rejected or is not scored yet is not among them.
TOLD_TYPES = """
select t.fix_type, count(*)::integer as count from (
  select fix_type from scoring.agent_auto_fixes
  where diff is not null and scored_at > coalesce($1, '-infinity'::timestamptz) order by scored_at desc limit $2
) t where t.fix_type is not null group by t.fix_type
"""


class Queries:
    """Reads the registry in `trainer` beside scoring's own tables."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def _pool(self) -> asyncpg.Pool:
        return self._database.pool

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

    async def last_run(self, kind: ModelKind, version: str | None) -> tuple[UUID | None, datetime | None, int]:
        """The last run of that kind, when it was asked for, and how many rows the model `version` learned from."""
        run_id, created_at, learned = await self._pool.fetchrow(LAST_RUN, version, kind)
        return run_id, created_at, learned

    async def news(self, since: datetime | None, most: int) -> tuple[int, bool]:
        """(settled outcomes reported since, at most `most`; whether an import brings more right now)."""
        new, importing = await self._pool.fetchrow(NEWS, since, most)
        return new, importing

    async def told_types(self, since: datetime | None, most: int) -> dict[str, int]:
        """How often each type was declared, among the newest `most` changes scored since."""
        return {row["fix_type"]: row["count"] for row in await self._pool.fetch(TOLD_TYPES, since, most)}

    async def champion(self, kind: str) -> asyncpg.Record | None:
        """promotion_id, version, kind, sha256, previous of the model that should answer now."""
        return await self._pool.fetchrow(CHAMPION, kind)
