"""The reads of the fleet's memory: patterns and learnings."""

from typing import Any
from uuid import UUID

from services.gateway.reads import Keyset, Listing, Reads
from services.gateway.views import Learning, Pattern

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


class KnowledgeQueries(Reads):
    async def learning(self, learning_id: UUID) -> Learning | None:
        return await self._one(Learning, LEARNING + " where l.id = $1", learning_id)

    async def learnings(self, wanted: dict[str, Any], after: Keyset | None, limit: int) -> Listing[Learning]:
        return await self._page(Learning, LEARNING, LEARNING_FILTERS, LEARNING_ORDER, wanted, after, limit)

    async def pattern(self, pattern_id: UUID) -> Pattern | None:
        return await self._one(Pattern, PATTERN + " where p.id = $1", pattern_id)

    async def patterns(self, after: Keyset | None, limit: int) -> Listing[Pattern]:
        return await self._page(Pattern, PATTERN, {}, PATTERN_ORDER, {}, after, limit)
