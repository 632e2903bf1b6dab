"""What lies near a change: patterns' reads, each one statement for a whole group."""

from collections.abc import Sequence
from datetime import datetime
from itertools import starmap
from operator import itemgetter
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from services.patterns.clustering import ALIKE, DUPLICATE, RECENT, NearPattern
from services.patterns.embedding import PATH_SHARE, Embedding
from services.patterns.placing import Neighbour
from services.patterns.ranking import Candidate
from services.patterns.vectors import half, sparse
from shared.contracts.commands import RelatedPattern
from shared.contracts.fixes import Category
from shared.database import Connection

NEAREST_PATTERNS = 20
NEAREST_FIXES = 20
NEAREST_LEARNINGS = 10
PATTERNS_SHOWN = 10
# Of a repository's recent fixes so many of the newest are compared with, and so many that changed the same files.
NEWEST = 256
SAME_PLACE = 32

CHAMPION = """
select p.id as promotion_id, m.version, m.kind, m.sha256, p.previous
from trainer.models m join trainer.model_promotions p on p.version = m.version
where m.kind = 'category' and m.status = 'champion' order by p.id desc limit 1
"""
# As `embedding.similarity`, for vectors of unit length.
SIMILARITY = f"""case when {{paths}} is null or w.paths is null then greatest(0, -({{words}} <#> w.words))
      else {1 - PATH_SHARE} * greatest(0, -({{words}} <#> w.words)) - {PATH_SHARE} * ({{paths}} <#> w.paths) end"""
# How similar an earlier fix must be, and whether its paths allow for it: the words of most need not be compared. Their
# product is 1 at most, but for what half precision has rounded up.
FLOOR = f"case when {{fix}}.pattern_id is null then {ALIKE}::float8 else {DUPLICATE}::float8 end"
WITHIN_REACH = f"""({{fix}}.paths is null or w.paths is null
      or {1.001 * (1 - PATH_SHARE)} - {PATH_SHARE} * ({{fix}}.paths <#> w.paths) >= {FLOOR})"""
# All of these are asked of one `w`. Candidates by each channel's index; one that both find comes twice.
CANDIDATES = f"""
    (select p.* from patterns.pattern_places p order by p.words <=> w.words limit {NEAREST_PATTERNS})
    union all
    (select p.* from patterns.pattern_places p where w.paths is not null
     order by p.paths <#> w.paths limit {NEAREST_PATTERNS})"""
PATTERNS = f"""
  select c.pattern_id as id, least(1, {SIMILARITY.format(words="c.words", paths="c.paths")}) as similarity
  from ({{candidates}}) c
"""
# What can be a duplicate, or may begin a pattern. The age is looked at behind the limit: a range with two ends would
# have the planner sort all that lies between them. So would a number as the limit, where a repository has fewer on
# average, and then for every fix of one that has thousands; of a limit that it cannot know it takes the index's order.
EARLIER = """
      (select f.fix_id, f.submitted_at, f.settled, f.pattern_id, f.embedding, f.paths, f.path_terms
       from patterns.fix_patterns f
       where f.repository = w.repository and f.submitted_at <= w.at {place}
       order by f.submitted_at desc limit (select {limit}))"""
# Each graph misses some of many that are nearly as far. A pattern of the very same files is not to be among them.
KNOWN_HERE = f"""{CANDIDATES}
    union all
    (select p.* from (
      select distinct e.pattern_id from ({EARLIER.format(place="and f.place = w.place", limit=SAME_PLACE)}) e
     ) e cross join lateral (select * from patterns.pattern_places p where p.pattern_id = e.pattern_id limit 1) p)"""
FIXES = f"""
  select s.* from (
    select r.*, least(1, {SIMILARITY.format(words="r.embedding", paths="r.paths")}) as similarity from (
      {EARLIER.format(place="", limit=NEWEST)}
      union all
      {EARLIER.format(place="and f.place = w.place", limit=SAME_PLACE)}
    ) r where r.embedding is not null and (not r.settled or r.submitted_at >= w.at - interval '{RECENT.days} days')
      and {WITHIN_REACH.format(fix="r")}
  ) s where s.similarity >= {FLOOR.format(fix="s")}
  order by s.similarity desc limit {NEAREST_FIXES}
"""
# A superseded learning stands for the one that took its place, which may then come more than once.
LEARNINGS = f"""
  select t.id, t.title, 1 - (l.embedding <=> w.words) as similarity, t.category, t.agent_domains,
    t.uses, t.successes, t.created_at
  from (
    select a.* from patterns.agent_learnings a where a.status <> 'held'
    order by a.embedding <=> w.words limit {NEAREST_LEARNINGS}
  ) l
  join patterns.agent_learnings t on t.id = coalesce(l.superseded_by, l.id) and t.status = 'active'
"""
LEARNING_ROW = "n.id, n.title, n.similarity, n.category, n.agent_domains, n.uses, n.successes, n.created_at"
# A fix that was given up may be sent again: it counts as unknown. The limit keeps all: it is there because the planner
# cannot know it, so it expects as much of any arguments, and plans once instead of for each change that comes alone.
NEAR = f"""
with w as materialized (
  select * from unnest(
    $1::int[], $2::uuid[], $3::halfvec[], $4::sparsevec[], $5::bigint[], $6::timestamptz[], $7::text[]
  ) as w(i, fix_id, words, paths, place, at, repository) limit (select cardinality($1))
)
select w.i,
  exists (select from patterns.fix_patterns k where k.fix_id = w.fix_id and k.status_reason is null) as known,
  array(
    select row(n.id, n.similarity)
    from ({PATTERNS.format(candidates=KNOWN_HERE)} order by similarity desc limit 1) n) as patterns,
  array(
    select row(n.fix_id, n.similarity, n.submitted_at, n.pattern_id,
      case when n.pattern_id is null then n.embedding end, case when n.pattern_id is null then n.path_terms end)
    from ({FIXES}) n where n.fix_id is distinct from w.fix_id) as fixes,
  array(select row({LEARNING_ROW}) from ({LEARNINGS}) n) as learnings
from w
"""
BESIDE = f"""
with w as materialized (
  select p.id, p.category, n.words, n.paths from patterns.patterns p
  join patterns.pattern_places n on n.pattern_id = p.id where p.id = $1
)
select w.category,
  array(
    select row(p.id, p.label, p.category, p.support, n.similarity)
    from (select distinct * from ({PATTERNS.format(candidates=CANDIDATES)}) c) n join patterns.patterns p using (id)
    where p.id <> w.id and n.similarity > 0 order by n.similarity desc limit {PATTERNS_SHOWN}) as patterns,
  array(select row({LEARNING_ROW}) from ({LEARNINGS}) n) as learnings
from w
"""


class Wanted(msgspec.Struct, frozen=True):
    """Whose neighbours are asked for; without a repository no fixes are near, and a change without an id is unknown."""

    embedding: Embedding
    at: datetime
    repository: str | None
    fix_id: UUID | None = None


class Neighbours(msgspec.Struct, frozen=True):
    """The nearest known pattern, earlier fixes of the repository and active learnings near one change.

    Of the fixes those that are all but the same, and those alike that are in no pattern yet.
    `known`: this fix itself has been categorized already.
    """

    known: bool
    patterns: list[NearPattern]
    fixes: dict[UUID, Neighbour]
    learnings: list[Candidate]


class Beside(msgspec.Struct, frozen=True):
    """What is near a pattern of this category: other patterns and learnings."""

    category: Category
    patterns: tuple[RelatedPattern, ...]
    learnings: list[Candidate]


async def near(connection: Connection, wanted: Sequence[Wanted]) -> list[Neighbours]:
    """The neighbours of each, by one statement, however many are wanted."""
    rows = await connection.fetch(
        NEAR, list(range(len(wanted))), [w.fix_id for w in wanted], [half(w.embedding.text) for w in wanted],
        [sparse(w.embedding.paths) for w in wanted], [w.embedding.place for w in wanted], [w.at for w in wanted],
        [w.repository for w in wanted],
    )  # fmt: skip
    return [neighbours_of(row) for row in sorted(rows, key=itemgetter("i"))]


async def beside(connection: Connection, pattern_id: UUID) -> Beside | None:
    here = await connection.fetchrow(BESIDE, pattern_id)
    if here is None:
        return None
    shown = [dict(zip(RelatedPattern.__struct_fields__, row, strict=True)) for row in here["patterns"]]
    return Beside(
        here["category"], tuple(RelatedPattern(**each) for each in shown), list(map(candidate_of, here["learnings"]))
    )


def neighbours_of(row: asyncpg.Record) -> Neighbours:
    fixes = map(neighbour_of, row["fixes"])
    return Neighbours(
        known=row["known"],
        patterns=list(starmap(NearPattern, row["patterns"])),
        fixes={fix.id: fix for fix in fixes},
        learnings=list(map(candidate_of, row["learnings"])),
    )


def neighbour_of(row: Sequence[Any]) -> Neighbour:
    fix_id, similarity, at, pattern_id, words, paths = row
    place = None if words is None else Embedding(text=words, paths=paths)
    return Neighbour(fix_id, similarity, at, pattern_id, place)


def candidate_of(row: Sequence[Any]) -> Candidate:
    learning_id, title, similarity, category, domains, uses, successes, created_at = row
    return Candidate(learning_id, title, similarity, category, tuple(domains), uses, successes, created_at)
