"""The SQL of patterns and of the fixes in them."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.contracts.commands import Correction
from shared.contracts.envelope import Envelope
from shared.contracts.fixes import Related
from shared.database import Connection, Database
from shared.errors import refuse
from shared.outbox import put, take

SCHEMA = "patterns"
NEAREST_PATTERNS = 20
NEAREST_FIXES = 20
NEAREST_LEARNINGS = 10
# How far back a fix still counts as recent, for duplicates and for new patterns.
RECENT_DAYS = 30

Vector = NDArray[np.float32]
Announce = Callable[[asyncpg.Record], Envelope]

# Of the recent fixes of the repository, so many of the newest are compared with, exactly.
MOST_RECENT = 1000

# One statement a table for a whole group. The vectors come as text, which pgvector reads; materialized, so that it
# reads each once, and not again for every row it is compared with.
PATTERNS_NEAR = """
with w as materialized (
  select i, embedding::halfvec(256) as embedding from unnest($1::int[], $2::text[]) as u(i, embedding)
)
select w.i, n.id, n.label, n.category, n.support, n.path_terms, n.centroid::real[] as embedding
from w cross join lateral (
  select p.* from patterns.patterns p order by p.centroid <=> w.embedding limit $3
) n
"""
PATTERN_PLACE = "select category, path_terms, centroid::real[] as embedding from patterns.patterns where id = $1"
FIXES_NEAR = """
with w as materialized (
  select i, embedding::halfvec(256) as embedding, at, repository
  from unnest($1::int[], $2::text[], $3::timestamptz[], $4::text[]) as u(i, embedding, at, repository)
)
select w.i, n.fix_id, n.repository, n.submitted_at, n.pattern_id, n.path_terms, n.embedding::real[] as embedding
from w cross join lateral (
  select r.* from (
    select f.* from patterns.fix_patterns f
    where f.repository = w.repository and f.submitted_at between w.at - make_interval(days => $5) and w.at
      and f.embedding is not null
    order by f.submitted_at desc limit $6
  ) r
  order by r.embedding <=> w.embedding limit $7
) n
"""
# A superseded learning stands for the one that took its place.
LEARNINGS_NEAR = """
with w as materialized (
  select i, embedding::halfvec(256) as embedding from unnest($1::int[], $2::text[]) as u(i, embedding)
)
select w.i, n.*
from w cross join lateral (
  select t.id, t.title, t.category, t.agent_domains, t.uses, t.successes, t.created_at, t.updated_at,
    1 - (l.embedding <=> w.embedding) as similarity
  from (
    select a.* from patterns.agent_learnings a where a.status <> 'held' order by a.embedding <=> w.embedding limit $3
  ) l
  join patterns.agent_learnings t on t.id = coalesce(l.superseded_by, l.id) and t.status = 'active'
) n
"""
# A fix that was given up may be sent again: it counts as unknown.
KNOWN = "select fix_id from patterns.fix_patterns where fix_id = any($1::uuid[]) and status_reason is null"
FIX = """
insert into patterns.fix_patterns as f (
  fix_id, agent_id, repository, submitted_at, title, category, category_confidence,
  categories, security_rank, pattern_id, duplicate_of, is_new, novelty, related, languages, learning_ids, embedding,
  path_terms, status_reason)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17::text::halfvec(256), $18, $19)
on conflict (fix_id) do update set
  category = excluded.category, category_confidence = excluded.category_confidence, categories = excluded.categories,
  security_rank = excluded.security_rank, pattern_id = excluded.pattern_id, duplicate_of = excluded.duplicate_of,
  is_new = excluded.is_new, novelty = excluded.novelty, related = excluded.related, languages = excluded.languages,
  embedding = excluded.embedding, path_terms = excluded.path_terms, status_reason = excluded.status_reason
where f.status_reason is not null
"""
PATTERN = """
insert into patterns.patterns (id, label, category, centroid, path_terms, support, example_fix_id, first_seen_at,
  last_seen_at)
values ($1, $2, $3, $4::text::halfvec(256), $5, $6, $7, $8, $9) on conflict (id) do nothing
"""
ADOPT = "update patterns.fix_patterns set pattern_id = $2 where fix_id = any($1::uuid[]) and pattern_id is null"
SUPPORT = """
update patterns.patterns set support = support + $2, last_seen_at = greatest(last_seen_at, $3) where id = $1
"""
CORRECT = """
update patterns.fix_patterns set corrected_category = $2, corrected_by = $3, revision = revision + 1
where fix_id = $1
returning fix_id, agent_id, repository, corrected_category as category, pattern_id, duplicate_of, revision
"""


def as_text(vector: Vector | None) -> str | None:
    """pgvector's own notation, rounded to what a halfvec keeps."""
    return None if vector is None else "[" + ",".join(f"{x:.5g}" for x in vector) + "]"


class Neighbours(msgspec.Struct, frozen=True):
    """What lies near one fix: known patterns, recent fixes, active learnings."""

    patterns: list[asyncpg.Record]
    fixes: list[asyncpg.Record]
    learnings: list[asyncpg.Record]


class Categorized(msgspec.Struct, frozen=True, kw_only=True):
    """One row of `fix_patterns` as it is first written."""

    event_id: UUID
    fix_id: UUID
    agent_id: str
    repository: str
    submitted_at: datetime
    category: str
    title: str | None = None
    category_confidence: float | None = None
    categories: Mapping[str, float] = {}
    security_rank: float | None = None
    pattern_id: UUID | None = None
    duplicate_of: UUID | None = None
    is_new: bool = False
    novelty: float | None = None
    related: Sequence[Related] = ()
    languages: Mapping[str, int] = {}
    learning_ids: tuple[UUID, ...] = ()
    embedding: Any = None
    path_terms: Mapping[str, float] = {}
    status_reason: str | None = None

    def row(self) -> tuple[object, ...]:
        return (
            self.fix_id, self.agent_id, self.repository, self.submitted_at, self.title, self.category,
            self.category_confidence, self.categories, self.security_rank, self.pattern_id, self.duplicate_of,
            self.is_new, self.novelty, msgspec.to_builtins(self.related), self.languages, self.learning_ids,
            as_text(self.embedding), self.path_terms, self.status_reason,
        )  # fmt: skip


class NewPattern(msgspec.Struct, frozen=True, kw_only=True):
    id: UUID
    label: str
    category: str
    centroid: Any
    path_terms: Mapping[str, float]
    members: tuple[UUID, ...]
    example_fix_id: UUID
    first_seen_at: datetime
    last_seen_at: datetime


class Store:
    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def _pool(self) -> asyncpg.Pool:
        return self._database.pool

    async def near(self, wanted: Sequence[tuple[Vector, datetime, str | None]]) -> list[Neighbours]:
        """The neighbours of each (embedding, time, repository), nearest first; without a repository no fixes.

        Three statements, however many are wanted.
        """
        numbers = list(range(len(wanted)))
        texts = [as_text(vector) for vector, _, _ in wanted]
        times = [at for _, at, _ in wanted]
        repositories = [repository for _, _, repository in wanted]
        async with self._pool.acquire() as connection:
            patterns = await connection.fetch(PATTERNS_NEAR, numbers, texts, NEAREST_PATTERNS)
            fixes = await connection.fetch(
                FIXES_NEAR, numbers, texts, times, repositories, RECENT_DAYS, MOST_RECENT, NEAREST_FIXES
            )
            learnings = await connection.fetch(LEARNINGS_NEAR, numbers, texts, NEAREST_LEARNINGS)
        found = [Neighbours([], [], []) for _ in wanted]
        for row in patterns:
            found[row["i"]].patterns.append(row)
        for row in fixes:
            found[row["i"]].fixes.append(row)
        for row in learnings:
            found[row["i"]].learnings.append(row)
        return found

    async def pattern(self, pattern_id: UUID) -> asyncpg.Record | None:
        """category, path_terms, embedding."""
        return await self._pool.fetchrow(PATTERN_PLACE, pattern_id)

    async def known(self, ids: Sequence[UUID]) -> set[UUID]:
        return {row["fix_id"] for row in await self._pool.fetch(KNOWN, ids)}

    async def record(
        self, event_ids: Sequence[UUID], fixes: Sequence[Categorized], patterns: Sequence[NewPattern],
        envelopes: Sequence[Envelope],
    ) -> None:  # fmt: skip
        """Stores a group: new patterns first, then the fixes, then what each pattern gained."""
        async with self._pool.acquire() as connection, connection.transaction():
            fresh = await take(connection, SCHEMA, event_ids)
            for pattern in sorted(patterns, key=lambda p: p.id):
                await _add_pattern(connection, pattern)
            rows = sorted((f for f in fixes if f.event_id in fresh), key=lambda f: f.fix_id)
            await connection.executemany(FIX, [f.row() for f in rows])
            await connection.executemany(SUPPORT, gained(rows))
            await put(connection, SCHEMA, envelopes)

    async def give_up(self, fix: Categorized, envelopes: Sequence[Envelope]) -> None:
        """Says on the fix why it has no category. Not in the inbox: the message may be sent again."""
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(FIX, *fix.row())
            await put(connection, SCHEMA, envelopes)

    async def correct(self, command: Correction, announce: Announce) -> list[Envelope]:
        async with self._pool.acquire() as connection, connection.transaction():
            if not await take(connection, SCHEMA, [command.command_id]):
                return []
            row = await connection.fetchrow(CORRECT, command.fix_id, command.category, command.principal)
            if row is None:
                refuse(404, "not_found", "fix: not found, or not yet known")
            envelopes = [announce(row)]
            await put(connection, SCHEMA, envelopes)
        return envelopes


async def _add_pattern(connection: Connection, pattern: NewPattern) -> None:
    await connection.execute(
        PATTERN, pattern.id, pattern.label, pattern.category, as_text(pattern.centroid), pattern.path_terms,
        len(pattern.members), pattern.example_fix_id, pattern.first_seen_at, pattern.last_seen_at,
    )  # fmt: skip
    await connection.execute(ADOPT, sorted(pattern.members), pattern.id)


def gained(rows: Sequence[Categorized]) -> list[tuple[UUID, int, datetime]]:
    """(pattern, fixes more, last seen) in the order of the ids, so that two groups never wait for each other."""
    more: dict[UUID, tuple[int, datetime]] = {}
    for fix in rows:
        if fix.pattern_id is not None and not fix.is_new:
            count, last = more.get(fix.pattern_id, (0, fix.submitted_at))
            more[fix.pattern_id] = (count + 1, max(last, fix.submitted_at))
    return [(i, count, last) for i, (count, last) in sorted(more.items())]
