"""The reads of how things went: small views, which scoring and patterns make anew soon after a change."""

from collections.abc import Mapping
from typing import Any, ClassVar

from services.gateway.intervals import Rate
from services.gateway.reads import Reads
from services.gateway.stats_views import (
    MIN_COMPARED,
    AgentStats,
    AgentStatsPage,
    CollaborationStats,
    CollaborationStatsPage,
    CollaborationTotals,
    Fared,
    Overview,
)

# Asked with the rows, or before them: they are at least as new as it says.
AGENTS_AS_OF = "select as_of from scoring.refreshes where name = 'agent_stats'"
COLLABORATIONS_AS_OF = "select as_of from patterns.refreshes where name = 'collaboration_stats'"
AS_OF = f"select min(as_of) from ({AGENTS_AS_OF} union all {COLLABORATIONS_AS_OF}) parts having count(*) = 2"

AGENTS = f"""
select s.agent_id, s.last_submitted_at, s.fixes, s.unsettled, s.succeeded, s.failed, s.rejected, s.expected_rate,
  ({AGENTS_AS_OF}) as as_of
from scoring.agent_stats s
where ($1::text is null or s.agent_id = $1) and ($2::text is null or s.agent_id > $2) and s.succeeded + s.failed >= $3
order by s.agent_id limit $4
"""
ALL_FIXES = """
select count(*)::int as agents, coalesce(sum(fixes), 0)::int as fixes, coalesce(sum(unsettled), 0)::int as unsettled,
  coalesce(sum(succeeded), 0)::int as succeeded, coalesce(sum(failed), 0)::int as failed,
  coalesce(sum(rejected), 0)::int as rejected,
  sum(expected_rate * (succeeded + failed)) / nullif(sum(succeeded + failed), 0) as expected_rate
from scoring.agent_stats
"""
BY_STATUS = """
coalesce(sum(count) filter (where status = 'open'), 0)::int as open,
coalesce(sum(count) filter (where status = 'resolved'), 0)::int as resolved,
coalesce(sum(count) filter (where status = 'expired'), 0)::int as expired,
max(median_seconds) filter (where status = 'resolved') as median_seconds_to_resolution
"""
COLLABORATIONS = f"""
select collaboration_type, {BY_STATUS} from patterns.collaboration_stats
group by collaboration_type order by collaboration_type
"""
ALL_COLLABORATIONS = f"select {BY_STATUS} from patterns.collaboration_stats"
SUCCEEDED = Rate("succeeded", ("succeeded", "failed")).told
RESOLVED = Rate("resolved", ("resolved", "expired"), "success_ratio").told


def fared(row: Mapping[str, Any]) -> dict[str, Any]:
    """The rate, and how it differs from what was expected.

    The difference's interval is the rate's, moved by what was expected of just these fixes: rather too wide than too
    narrow, for fixes of unlike chances vary less than fixes of one chance.
    """
    told, expected = SUCCEEDED(row), row["expected_rate"]
    compared = row["succeeded"] + row["failed"] >= MIN_COMPARED and expected is not None
    told["difference"] = told["rate"] - expected if compared else None
    told["difference_interval"] = [bound - expected for bound in told["interval"]] if compared else None
    return told


class StatsQueries(Reads):
    WORKED_OUT: ClassVar = {
        AgentStats: fared, Fared: fared, CollaborationStats: RESOLVED, CollaborationTotals: RESOLVED
    }  # fmt: skip

    async def agents(self, agent_id: str | None, after: str | None, min_settled: int, limit: int) -> AgentStatsPage:
        """A page of agents by name; `next_cursor` is the last one's, as it stands."""
        rows = await self._ask(lambda pool: pool.fetch(AGENTS, agent_id, after, min_settled, limit + 1))
        as_of = rows[0]["as_of"] if rows else await self._as_of(AGENTS_AS_OF)
        items = [self._made(AgentStats, row) for row in rows[:limit]]
        more = items[-1].agent_id if len(rows) > limit else None
        return AgentStatsPage(as_of=as_of, items=items, next_cursor=more)

    async def collaborations(self) -> CollaborationStatsPage:
        as_of = await self._as_of(COLLABORATIONS_AS_OF)
        return CollaborationStatsPage(as_of=as_of, items=await self._all(CollaborationStats, COLLABORATIONS))

    async def overview(self) -> Overview:
        as_of = await self._as_of(AS_OF)
        fixes = await self._ask(lambda pool: pool.fetchrow(ALL_FIXES))
        [collaborations] = await self._all(CollaborationTotals, ALL_COLLABORATIONS)
        return Overview(
            as_of=as_of, agents=fixes["agents"], fixes=self._made(Fared, fixes), collaborations=collaborations
        )

    async def _as_of(self, query: str) -> Any:
        return await self._ask(lambda pool: pool.fetchval(query))
