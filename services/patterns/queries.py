"""What lies near a change: patterns' reads, each one statement for a whole group."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import asyncpg
import msgspec

from services.patterns.clustering import ALIKE, NearPattern
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
# How far back a fix still counts as recent, for duplicates and for new patterns.
RECENT_DAYS = 30
# Of a repository's recent fixes so many of the newest are compared with, and so many that changed the same files.
NEWEST = 256
SAME_PLACE = 32

# As `embedding.similarity`, for vectors of unit length.
SIMILARITY = f"""case when {{paths}} is null or w.paths is null then greatest(0, -({{words}} <#> w.words))
      else {1 - PATH_SHARE} * greatest(0, -({{words}} <#> w.words)) - {PATH_SHARE} * ({{paths}} <#> w.paths) end"""
WANTED = """with w as materialized (
  select * from unnest($1::int[], $2::halfvec[], $3::sparsevec[], $4::bigint[], $5::timestamptz[], $6::text[])
    as w(i, words, paths, place, at, repository)
)"""
# Candidates by each channel's index, then ranked by both.
PATTERNS = f"""
  select p.*, least(1, {SIMILARITY.format(words="p.centroid", paths="p.paths")}) as similarity
  from (
    (select c.id from patterns.patterns c order by c.centroid <=> w.words limit {NEAREST_PATTERNS})
    union
    (select c.id from patterns.patterns c where w.paths is not null
     order by c.paths <#> w.paths limit {NEAREST_PATTERNS})
  ) c join patterns.patterns p using (id)
  order by similarity desc limit {NEAREST_PATTERNS}
"""
PATTERNS_NEAR = f"{WANTED} select w.i, n.id, n.similarity from w cross join lateral ({PATTERNS}) n"
PATTERN = "select category, centroid as words from patterns.patterns where id = $1"
PATTERNS_BESIDE = f"""
with w as materialized (select id, centroid as words, paths from patterns.patterns where id = $1)
select n.id as pattern_id, n.label, n.category, n.support, n.similarity
from w cross join lateral ({PATTERNS}) n where n.id <> w.id and n.similarity > 0 order by n.similarity desc limit $2
"""
FIXES_NEAR = f"""{WANTED}
select w.i, n.fix_id, least(1, n.similarity) as similarity, n.submitted_at, n.pattern_id,
  case when n.lone then n.embedding end as embedding, case when n.lone then n.path_terms end as path_terms
from w cross join lateral (
  select s.*, s.pattern_id is null and s.similarity >= {ALIKE} as lone from (
    select r.*, {SIMILARITY.format(words="r.embedding", paths="r.paths")} as similarity from (
      (select f.* from patterns.fix_patterns f
       where f.repository = w.repository and f.submitted_at between w.at - make_interval(days => $7) and w.at
       order by f.submitted_at desc limit $8)
      union all
      (select f.* from patterns.fix_patterns f
       where f.repository = w.repository and f.submitted_at between w.at - make_interval(days => $7) and w.at
         and f.place = w.place
       order by f.submitted_at desc limit $9)
    ) r where r.embedding is not null
  ) s order by s.similarity desc limit $10
) n
"""
# A superseded learning stands for the one that took its place.
LEARNINGS_NEAR = """
with w as materialized (select i, words from unnest($1::int[], $2::halfvec[]) as w(i, words))
select distinct on (w.i, n.learning_id) w.i, n.*
from w cross join lateral (
  select t.id as learning_id, t.title, 1 - (l.embedding <=> w.words) as similarity, t.category, t.agent_domains,
    t.uses, t.successes, t.created_at
  from (
    select a.* from patterns.agent_learnings a where a.status <> 'held' order by a.embedding <=> w.words limit $3
  ) l
  join patterns.agent_learnings t on t.id = coalesce(l.superseded_by, l.id) and t.status = 'active'
) n
order by w.i, n.learning_id, n.similarity desc
"""


class Wanted(msgspec.Struct, frozen=True):
    """Whose neighbours are asked for; without a repository no fixes are near."""

    embedding: Embedding
    at: datetime
    repository: str | None


class Neighbours(msgspec.Struct, frozen=True):
    """Known patterns, recent fixes of the repository and active learnings near one change, nearest first."""

    patterns: list[NearPattern]
    fixes: dict[UUID, Neighbour]
    learnings: list[Candidate]


class Beside(msgspec.Struct, frozen=True):
    """What is near a pattern of this category: other patterns and learnings."""

    category: Category
    patterns: tuple[RelatedPattern, ...]
    learnings: list[Candidate]


async def near(connection: Connection, wanted: Sequence[Wanted]) -> list[Neighbours]:
    """The neighbours of each, by three statements, however many are wanted."""
    numbers = list(range(len(wanted)))
    words = [half(w.embedding.text) for w in wanted]
    columns = (
        numbers, words, [sparse(w.embedding.paths) for w in wanted], [w.embedding.place for w in wanted],
        [w.at for w in wanted], [w.repository for w in wanted],
    )  # fmt: skip
    found = [Neighbours([], {}, []) for _ in wanted]
    for row in await connection.fetch(PATTERNS_NEAR, *columns):
        found[row["i"]].patterns.append(NearPattern(row["id"], row["similarity"]))
    for row in await connection.fetch(FIXES_NEAR, *columns, RECENT_DAYS, NEWEST, SAME_PLACE, NEAREST_FIXES):
        found[row["i"]].fixes[row["fix_id"]] = neighbour_of(row)
    for row in await connection.fetch(LEARNINGS_NEAR, numbers, words, NEAREST_LEARNINGS):
        found[row["i"]].learnings.append(candidate_of(row))
    return found


async def beside(connection: Connection, pattern_id: UUID) -> Beside | None:
    here = await connection.fetchrow(PATTERN, pattern_id)
    if here is None:
        return None
    patterns = await connection.fetch(PATTERNS_BESIDE, pattern_id, PATTERNS_SHOWN)
    learnings = await connection.fetch(LEARNINGS_NEAR, [0], [half(here["words"])], NEAREST_LEARNINGS)
    shown = tuple(RelatedPattern(**dict(row)) for row in patterns)
    return Beside(here["category"], shown, [candidate_of(row) for row in learnings])


def neighbour_of(row: asyncpg.Record) -> Neighbour:
    words, paths = row["embedding"], row["path_terms"]
    embedding = None if words is None else Embedding(text=words, paths=paths)
    return Neighbour(row["fix_id"], row["similarity"], row["submitted_at"], row["pattern_id"], embedding)


def candidate_of(row: asyncpg.Record) -> Candidate:
    fields = dict(row)
    del fields["i"]
    return Candidate(**fields | {"agent_domains": tuple(fields["agent_domains"])})
