"""The reads of the fleet's memory: patterns, learnings and collaborations."""

from typing import Any
from uuid import UUID

from services.gateway.intervals import interval
from services.gateway.knowledge_views import (
    Collaboration,
    HandbookLearning,
    HandbookPattern,
    HeldLearning,
    Learning,
    LearningVersion,
    Pattern,
)
from services.gateway.reads import Keyset, Listing, Reads

# Nobody reads a held text here, so that one answer suits every caller, and may be cached.
LEARNING = f"""
select l.id, case when l.status <> 'held' then l.title end as title,
  case when l.status <> 'held' then l.body end as body, l.principal, l.agent_id,
  case when l.status <> 'held' then l.agent_domains else '{{}}' end as agent_domains, l.category,
  case when l.uses > 0 then l.successes::double precision / l.uses end as confidence,
  {interval("l.successes", "l.uses")} as interval, l.pattern_id, l.fix_id, l.collaboration_id, l.duplicate_of,
  l.uses, l.successes, l.status, l.held_reasons, l.released_by, l.superseded_by, l.created_at, l.updated_at, l.version
from patterns.agent_learnings l
"""
# All of the words, wherever each stands: whoever asks does not know how the author put it.
SEARCHED = r"""l.status <> 'held' and not exists (
  select from regexp_split_to_table(lower({}), '\s+') as word
  where strpos(lower(l.title || ' ' || l.body), word) = 0)"""
LEARNING_FILTERS = {
    "domain": "l.agent_domains @> array[{}::text]",
    "agent_id": "l.agent_id = {}",
    "category": "l.category = {}",
    "pattern_id": "l.pattern_id = {}",
    "status": "l.status = {}",
    "q": SEARCHED,
}
LEARNING_ORDER = ("l.created_at", "l.id")
HELD = """
select l.id, l.title, l.body, l.principal, l.agent_id, l.agent_domains, l.held_reasons, l.created_at, l.version
from patterns.agent_learnings l
"""
HELD_FILTERS = {"status": "l.status = {}"}
VERSIONS = """
select v.version, case when v.status <> 'held' then v.title end as title,
  case when v.status <> 'held' then v.body end as body,
  case when v.status <> 'held' then v.agent_domains else '{}' end as agent_domains, v.category, v.pattern_id, v.status,
  v.held_reasons, v.superseded_by, v.replaced_by, v.replaced_at
from patterns.learning_versions v where v.learning_id = $1 order by v.version desc limit 200
"""

# How the newest fixes of the pattern `p` ended: a bounded read, however large the pattern is.
FARED = """
left join lateral (
  select count(*) filter (where o.kind = 'held')::int as succeeded,
    count(*) filter (where o.kind in ('reverted', 'fixed_again'))::int as failed, max(o.reported_at) as heard_at
  from (
    select f.fix_id from patterns.fix_patterns f where f.pattern_id = p.id order by f.submitted_at desc limit 200
  ) newest
  cross join lateral (
    select e.kind, e.reported_at from scoring.fix_outcomes e where e.fix_id = newest.fix_id and e.effective limit 1
  ) o
) fared on true
"""
SETTLED = "(fared.succeeded + fared.failed)"
PATTERN = f"""
select p.id, p.label, p.category, p.support, fared.succeeded, fared.failed,
  case when {SETTLED} > 0 then fared.succeeded::double precision / {SETTLED} end as rate,
  {interval("fared.succeeded", SETTLED)} as interval, p.example_fix_id, p.first_seen_at, p.last_seen_at
from patterns.patterns p {FARED}
"""
PATTERN_ORDER = ("p.first_seen_at", "p.id")

# Blind until it is closed: while it is open nobody learns how a vote stands.
SOLUTIONS = """
select coalesce(jsonb_agg(to_jsonb(s) order by s.created_at, s.id), '[]') from (
  select s.id, s.agent_id, s.title, s.body, s.created_at,
    case when c.status <> 'open' then count(v.value) filter (where v.value = 1) end as votes_for,
    case when c.status <> 'open' then count(v.value) filter (where v.value = -1) end as votes_against,
    case when c.status <> 'open' then
      coalesce(array_agg(v.reason order by v.voted_at) filter (where v.reason is not null), '{}') end as reasons
  from patterns.collaboration_solutions s
  left join patterns.collaboration_votes v on v.solution_id = s.id
  where s.collaboration_id = c.id group by s.id
) s
"""
COLLABORATION = f"""
select c.id, c.title, c.collaboration_type, c.status, c.progress, c.principal, c.agent_domains, c.quorum, c.margin,
  c.deadline, c.accepted_solution_id, c.learning_id, c.created_at, c.closed_at, c.version,
  (select array_agg(m.agent_id order by m.joined_at) from patterns.collaboration_members m
    where m.collaboration_id = c.id) as agents,
  (select count(distinct v.principal)::int from patterns.collaboration_votes v
    where v.collaboration_id = c.id) as votes_cast,
  ({SOLUTIONS}) as solutions
from patterns.agent_collaborations c
"""
COLLABORATION_FILTERS = {
    "status": "c.status = {}",
    "collaboration_type": "c.collaboration_type = {}",
    "agent_id": "exists (select from patterns.collaboration_members m "
    "where m.collaboration_id = c.id and m.agent_id = {})",
    "domain": "c.agent_domains @> array[{}::text]",
    "q": "strpos(lower(c.title), lower({})) > 0",
}
COLLABORATION_ORDER = ("c.created_at", "c.id")

# The best confirmed of each domain first, then the newest; a learning stands under each of its domains.
HANDBOOK_LEARNINGS = f"""
select r.* from (
  select d.domain, count(*) over (partition by d.domain)::int as all, l.id, l.title, l.body, l.agent_id, l.category,
    l.uses, l.successes, i.interval, l.updated_at,
    row_number() over (partition by d.domain order by coalesce(i.interval[1], 0) desc, l.created_at desc, l.id) as place
  from patterns.agent_learnings l
  cross join lateral (select {interval("l.successes", "l.uses")} as interval) i
  cross join lateral unnest(
    case when l.agent_domains = '{{}}' then array[null::text] else l.agent_domains end
  ) d(domain)
  where l.status = 'active'
) r where r.place <= $2 and ($1::text is null or r.domain = $1)
order by r.all desc, r.domain nulls last, r.place limit $3
"""
HANDBOOK_PATTERNS = f"""
select p.id, p.label, p.category, p.support, fared.succeeded, fared.failed,
  {interval("fared.succeeded", SETTLED)} as interval, coalesce(declared.domains, '{{}}') as domains,
  e.title as example_title, e.repository as example_repository,
  greatest(p.last_seen_at, fared.heard_at) as changed_at
from (select * from patterns.patterns order by support desc, id limit $1) p {FARED}
left join lateral (
  select array_agg(distinct d) as domains from (
    select f.fix_id from patterns.fix_patterns f where f.pattern_id = p.id order by f.submitted_at desc limit 100
  ) newest
  join scoring.agent_auto_fixes a on a.id = newest.fix_id cross join lateral unnest(a.domains) d
) declared on true
left join patterns.fix_patterns e on e.fix_id = p.example_fix_id
order by p.support desc, p.id
"""
# Of one domain, and of all of them together.
HANDBOOK_SHOWN, HANDBOOK_MOST = 10, 300
HANDBOOK_MOST_PATTERNS = 100


class KnowledgeQueries(Reads):
    async def learning(self, learning_id: UUID) -> Learning | None:
        return await self._one(Learning, LEARNING + " where l.id = $1", learning_id)

    async def learnings(self, wanted: dict[str, Any], after: Keyset | None, limit: int) -> Listing[Learning]:
        return await self._page(Learning, LEARNING, LEARNING_FILTERS, LEARNING_ORDER, wanted, after, limit)

    async def held(self, after: Keyset | None, limit: int) -> Listing[HeldLearning]:
        return await self._page(HeldLearning, HELD, HELD_FILTERS, LEARNING_ORDER, {"status": "held"}, after, limit)

    async def versions(self, learning_id: UUID) -> list[LearningVersion]:
        return await self._all(LearningVersion, VERSIONS, learning_id)

    async def pattern(self, pattern_id: UUID) -> Pattern | None:
        return await self._one(Pattern, PATTERN + " where p.id = $1", pattern_id)

    async def patterns(self, after: Keyset | None, limit: int) -> Listing[Pattern]:
        return await self._page(Pattern, PATTERN, {}, PATTERN_ORDER, {}, after, limit)

    async def collaboration(self, collaboration_id: UUID) -> Collaboration | None:
        return await self._one(Collaboration, COLLABORATION + " where c.id = $1", collaboration_id)

    async def collaborations(self, wanted: dict[str, Any], after: Keyset | None, limit: int) -> Listing[Collaboration]:
        order, filters = COLLABORATION_ORDER, COLLABORATION_FILTERS
        return await self._page(Collaboration, COLLABORATION, filters, order, wanted, after, limit)

    async def handbook(self, domain: str | None) -> tuple[list[HandbookLearning], list[HandbookPattern]]:
        learnings = await self._all(HandbookLearning, HANDBOOK_LEARNINGS, domain, HANDBOOK_SHOWN, HANDBOOK_MOST)
        return learnings, await self._all(HandbookPattern, HANDBOOK_PATTERNS, HANDBOOK_MOST_PATTERNS)
