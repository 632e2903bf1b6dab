"""The reads of the fleet's memory: patterns, learnings and collaborations."""

from typing import Any, ClassVar
from uuid import UUID

from services.gateway.intervals import Rate
from services.gateway.knowledge_views import (
    Collaboration,
    HandbookLearning,
    HandbookPattern,
    HeldLearning,
    Learning,
    LearningVersion,
    Pattern,
)
from services.gateway.page_queries import WORDS, Keyset, Pages, Search, Source
from services.gateway.reads import Listing, Reads

# Nobody reads a held text here, so that one answer suits every caller, and may be cached.
LEARNING_FIELDS = """
select l.id, case when l.status <> 'held' then l.title end as title,
  case when l.status <> 'held' then l.body end as body, l.principal, l.agent_id,
  case when l.status <> 'held' then l.agent_domains else '{}' end as agent_domains, l.category, l.pattern_id, l.fix_id,
  l.collaboration_id, l.duplicate_of, l.uses, l.successes, l.status, l.held_reasons, l.released_by, l.superseded_by,
  l.created_at, l.updated_at, l.version
"""
LEARNING_TABLES = "from patterns.agent_learnings l"
LEARNING = f"{LEARNING_FIELDS} {LEARNING_TABLES}"
LEARNINGS = Source(
    "patterns.agent_learnings l",
    "l.created_at",
    "l.id",
    {
        "agent_id": "l.agent_id = {}",
        "category": "l.category = {}",
        "pattern_id": "l.pattern_id = {}",
        "status": "l.status = {}",
    },
)
LEARNINGS_BY_DOMAIN = Source(
    "patterns.learning_domains d",
    "d.created_at",
    "d.learning_id",
    {
        # A learning without one stands under ''.
        "domain": "d.domain = nullif({}, '')",
        "category": "d.category = {}",
        "status": "d.status = {}",
    },
)
LEARNINGS_BY_WORDS = LEARNINGS._replace(filters={"q": "l.status <> 'held' and l.words @@ to_tsquery('simple', {})"})


def found_of(kind: str, name: str) -> Search:
    """By words: however much there is of one agent or domain, no more is looked at than a page takes."""
    return Search("patterns.learnings_found", {"q": WORDS, name: f"kind => '{kind}', name => {{}}"})


LEARNING_PAGES = Pages(
    LEARNING_FIELDS,
    LEARNING_TABLES,
    "l.id",
    LEARNINGS,
    by={
        ("agent_id", "q"): found_of("agent", "agent_id"),
        ("domain", "q"): found_of("domain", "domain"),
        ("q",): LEARNINGS_BY_WORDS,
        ("domain",): LEARNINGS_BY_DOMAIN,
    },
)
HELD_PAGES = Pages(
    "select l.id, l.title, l.body, l.principal, l.agent_id, l.agent_domains, l.held_reasons, l.created_at, l.version",
    LEARNING_TABLES,
    "l.id",
    LEARNINGS,
)
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
PATTERN_FIELDS = """
select p.id, p.label, p.category, p.support, fared.succeeded, fared.failed, p.example_fix_id, p.first_seen_at,
  p.last_seen_at
"""
PATTERN_TABLES = f"from patterns.patterns p {FARED}"
PATTERN = f"{PATTERN_FIELDS} {PATTERN_TABLES}"
PATTERNS = Source("patterns.patterns p", "p.first_seen_at", "p.id")
PATTERN_PAGES = Pages(PATTERN_FIELDS, PATTERN_TABLES, "p.id", PATTERNS)

COLLABORATION_FIELDS = """
select c.id, c.title, c.collaboration_type, c.status, c.progress, c.principal, c.agent_domains, c.quorum, c.margin,
  c.deadline, c.accepted_solution_id, c.learning_id, c.created_at, c.closed_at, c.version, s.agents, s.votes_cast,
  s.solutions
"""
COLLABORATION_TABLES = """
from patterns.agent_collaborations c join patterns.collaboration_summaries s on s.collaboration_id = c.id
"""
COLLABORATION = f"{COLLABORATION_FIELDS} {COLLABORATION_TABLES}"
COLLABORATIONS = Source(
    "patterns.agent_collaborations c",
    "c.created_at",
    "c.id",
    {
        "status": "c.status = {}",
        "collaboration_type": "c.collaboration_type = {}",
        "domain": "c.agent_domains @> array[{}::text]",
        "q": "c.words @@ to_tsquery('simple', {})",
    },
)
COLLABORATIONS_BY_AGENT = Source(
    "patterns.collaboration_agents a",
    "a.created_at",
    "a.collaboration_id",
    {"agent_id": "a.agent_id = {}", "status": "a.status = {}"},
)
COLLABORATION_PAGES = Pages(
    COLLABORATION_FIELDS,
    COLLABORATION_TABLES,
    "c.id",
    COLLABORATIONS,
    by={("agent_id",): COLLABORATIONS_BY_AGENT},
)

# The best confirmed of each domain first, then the newest; a learning stands under each of its domains, and without
# any under ''. What is shown is chosen by an index before anything is read of it, and of no more domains than
# there is room for.
HANDBOOK_LEARNINGS = """
select nullif(r.domain, '') as domain, r.active as all, l.id, l.title, l.body, l.agent_id, l.category, l.uses,
  l.successes, l.updated_at
from (
  select k.domain, k.active, c.learning_id,
    row_number() over (partition by k.domain order by c.confirmed desc, c.created_at desc, c.learning_id) as place
  from (
    select m.*, sum(least(m.active, $2::integer)) over (order by m.active desc, m.domain = '', m.domain) as shown
    from (
      select domain, active from patterns.learning_domain_counts
      where active > 0 and ($1::text is null or domain = $1) order by active desc, domain limit $3
    ) m
  ) k
  cross join lateral (
    select d.learning_id, d.confirmed, d.created_at from patterns.learning_domains d
    where d.domain = k.domain and d.status = 'active'
    order by d.confirmed desc, d.created_at desc, d.learning_id limit $2
  ) c
  where k.shown - least(k.active, $2) < $3
  order by k.active desc, k.domain = '', k.domain, place limit $3
) r
join patterns.agent_learnings l on l.id = r.learning_id
order by r.active desc, r.domain = '', r.domain, r.place
"""
HANDBOOK_PATTERNS = """
select p.id, p.label, p.category, p.support, p.succeeded, p.failed, p.domains, p.example_title, p.example_repository,
  p.changed_at
from scoring.handbook_patterns p order by p.support desc, p.id
"""
# Of one domain, and of all of them together.
HANDBOOK_SHOWN, HANDBOOK_MOST = 10, 300


CITED = Rate("successes", ("uses",), "confidence").told
FARED_SO = Rate("succeeded", ("succeeded", "failed")).told


class KnowledgeQueries(Reads):
    WORKED_OUT: ClassVar = {Learning: CITED, HandbookLearning: CITED, Pattern: FARED_SO, HandbookPattern: FARED_SO}

    async def learning(self, learning_id: UUID) -> Learning | None:
        return await self._one(Learning, LEARNING + " where l.id = $1", learning_id)

    async def learnings(self, wanted: dict[str, Any], after: Keyset | None, limit: int) -> Listing[Learning]:
        return await self._page(Learning, LEARNING_PAGES, wanted, after, limit)

    async def held(self, after: Keyset | None, limit: int) -> Listing[HeldLearning]:
        return await self._page(HeldLearning, HELD_PAGES, {"status": "held"}, after, limit)

    async def versions(self, learning_id: UUID) -> list[LearningVersion]:
        return await self._all(LearningVersion, VERSIONS, learning_id)

    async def pattern(self, pattern_id: UUID) -> Pattern | None:
        return await self._one(Pattern, PATTERN + " where p.id = $1", pattern_id)

    async def patterns(self, after: Keyset | None, limit: int) -> Listing[Pattern]:
        return await self._page(Pattern, PATTERN_PAGES, {}, after, limit)

    async def collaboration(self, collaboration_id: UUID) -> Collaboration | None:
        return await self._one(Collaboration, COLLABORATION + " where c.id = $1", collaboration_id)

    async def collaborations(self, wanted: dict[str, Any], after: Keyset | None, limit: int) -> Listing[Collaboration]:
        return await self._page(Collaboration, COLLABORATION_PAGES, wanted, after, limit)

    async def handbook(self, domain: str | None) -> tuple[list[HandbookLearning], list[HandbookPattern]]:
        learnings = await self._all(HandbookLearning, HANDBOOK_LEARNINGS, domain, HANDBOOK_SHOWN, HANDBOOK_MOST)
        return learnings, await self._all(HandbookPattern, HANDBOOK_PATTERNS)
