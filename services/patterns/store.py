"""The SQL of patterns and of the fixes in them."""

from collections.abc import Callable, Mapping, Sequence, Set
from datetime import datetime
from uuid import UUID

import asyncpg
import msgspec

from services.patterns.embedding import NOWHERE, Embedding
from services.patterns.placing import Formed
from services.patterns.queries import CHAMPION, Beside, Neighbours, Wanted, beside, near
from services.patterns.vectors import half, sparse
from shared.contracts.commands import Correction
from shared.contracts.envelope import Envelope
from shared.contracts.fixes import Related
from shared.database import Connection, Database
from shared.errors import refuse
from shared.outbox import columns, put, take

SCHEMA = "patterns"
Announce = Callable[[asyncpg.Record], Envelope]

# One statement, so one round trip and one transaction: inbox, fixes, what their patterns gained, and outbox.
RECORD = """
with fresh as (
  insert into patterns.inbox (event_id) select distinct e from unnest($1::uuid[]) as e order by e
  on conflict do nothing returning event_id
), given as (
  select * from jsonb_to_recordset($2::jsonb) as g(
    event_id uuid, fix_id uuid, agent_id text, repository text, submitted_at timestamptz, title text, category text,
    category_confidence float8, categories jsonb, security_rank float8, model_version text, pattern_id uuid,
    duplicate_of uuid, is_new boolean, novelty float8, related jsonb, languages jsonb, learning_ids uuid[],
    path_terms jsonb, place bigint, status_reason text, settled boolean)
), kept as (
  insert into patterns.fix_patterns as f (
    fix_id, agent_id, repository, submitted_at, title, category, category_confidence, categories, security_rank,
    model_version, pattern_id, duplicate_of, is_new, novelty, related, languages, learning_ids, path_terms, place,
    status_reason, settled, embedding, paths)
  select
    fix_id, agent_id, repository, submitted_at, title, category, category_confidence, categories, security_rank,
    model_version, pattern_id, duplicate_of, is_new, novelty, related, languages, learning_ids, path_terms, place,
    status_reason, settled, v.embedding, v.paths
  from given join unnest($3::uuid[], $4::halfvec[], $5::sparsevec[]) as v(fix_id, embedding, paths) using (fix_id)
  where $6 or event_id in (select event_id from fresh) order by fix_id
  on conflict (fix_id) do update set
    category = excluded.category, category_confidence = excluded.category_confidence, categories = excluded.categories,
    security_rank = excluded.security_rank, model_version = excluded.model_version,
    pattern_id = excluded.pattern_id, duplicate_of = excluded.duplicate_of, is_new = excluded.is_new,
    novelty = excluded.novelty, related = excluded.related, languages = excluded.languages,
    embedding = excluded.embedding, paths = excluded.paths, place = excluded.place, path_terms = excluded.path_terms,
    status_reason = excluded.status_reason
  where f.status_reason is not null
  returning pattern_id, is_new, submitted_at
), said as (
  insert into patterns.outbox (event_id, subject, headers, payload)
  select * from unnest($7::uuid[], $8::text[], $9::jsonb[], $10::bytea[]) on conflict do nothing
), gained as (
  select pattern_id, count(*)::int as fixes, max(submitted_at) as last_seen_at from kept
  where pattern_id is not null and not is_new group by 1
), locked as materialized (
  select p.id from patterns.patterns p join gained g on g.pattern_id = p.id order by p.id for update of p
)
update patterns.patterns p
set support = p.support + g.fixes, last_seen_at = greatest(p.last_seen_at, g.last_seen_at)
from gained g join locked l on l.id = g.pattern_id where p.id = g.pattern_id
"""
# What is said of a fix once more: a correction counts for its prediction.
SPOKEN = """f.fix_id as id, f.agent_id, f.repository, coalesce(f.corrected_category, f.category) as category,
  case when f.corrected_category is null then f.category_confidence end as category_confidence, f.pattern_id,
  f.duplicate_of, f.corrected_category is not null as corrected,
  case when f.corrected_category is null then f.model_version end as model_version, f.revision"""
# All patterns of a group. A support is what it is before those that are on their way join it, but for the one that
# completes the pattern.
FORM = f"""
with formed as materialized (
  select * from unnest(
    $1::uuid[], $2::text[], $3::text[], $4::uuid[], $5::timestamptz[], $6::timestamptz[], $7::halfvec[], $8::sparsevec[]
  ) as p(id, label, category, example_fix_id, first_seen_at, last_seen_at, words, paths)
), members as materialized (
  select m.pattern_id, f.fix_id from unnest($9::uuid[], $10::uuid[]) as m(pattern_id, fix_id)
  join patterns.fix_patterns f using (fix_id) where f.pattern_id is null order by f.fix_id for update of f
), added as (
  insert into patterns.patterns (id, label, category, support, example_fix_id, first_seen_at, last_seen_at)
  select id, label, category, 1 + (select count(*) from members m where m.pattern_id = p.id), example_fix_id,
    first_seen_at, last_seen_at
  from formed p order by id on conflict (id) do nothing
), placed as (
  insert into patterns.pattern_places (pattern_id, words, paths) select id, words, paths from formed order by id
  on conflict do nothing
)
update patterns.fix_patterns f set pattern_id = m.pattern_id, revision = f.revision + 1
from members m where m.fix_id = f.fix_id returning {SPOKEN}
"""
SETTLE = """
update patterns.fix_patterns f set settled = true
from (
  select fix_id from patterns.fix_patterns where fix_id = any($1::uuid[]) and not settled order by fix_id for update
) l where f.fix_id = l.fix_id
"""
CORRECT = f"""
update patterns.fix_patterns f set corrected_category = $2, corrected_by = $3, revision = f.revision + 1
where f.fix_id = $1 and ($4::int is null or f.revision = $4) returning {SPOKEN}
"""


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
    model_version: str | None = None
    pattern_id: UUID | None = None
    duplicate_of: UUID | None = None
    is_new: bool = False
    novelty: float | None = None
    related: Sequence[Related] = ()
    languages: Mapping[str, int] = {}
    learning_ids: tuple[UUID, ...] = ()
    embedding: Embedding = NOWHERE
    status_reason: str | None = None
    # Somebody has told what became of it; until then it is open.
    settled: bool = False

    def row(self) -> dict[str, object]:
        """As `RECORD` reads it; the vectors go apart."""
        row = msgspec.structs.asdict(self)
        place = row.pop("embedding")
        return row | {"path_terms": place.paths, "place": place.place}


class Store:
    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def _pool(self) -> asyncpg.Pool:
        return self._database.pool

    async def near(self, wanted: Sequence[Wanted]) -> list[Neighbours]:
        async with self._pool.acquire() as connection:
            return await near(connection, wanted)

    async def beside(self, pattern_id: UUID) -> Beside | None:
        async with self._pool.acquire() as connection:
            return await beside(connection, pattern_id)

    async def champion(self) -> asyncpg.Record | None:
        """The fields of a `ModelPromoted`."""
        return await self._pool.fetchrow(CHAMPION)

    async def record(
        self, event_ids: Sequence[UUID], fixes: Sequence[Categorized], patterns: Sequence[Formed],
        envelopes: Sequence[Envelope], announce: Announce,
    ) -> list[Envelope]:  # fmt: skip
        """Stores a group: new patterns first, then the fixes, and what each pattern gained.

        Answers what is to be published: `envelopes`, and one for each earlier fix that a new pattern has taken in.
        """
        if not patterns:  # the one statement is a transaction of its own
            await _record(self._pool, event_ids, fixes, envelopes)
            return [*envelopes]
        async with self._pool.acquire() as connection, connection.transaction():
            taken_in = await _form(connection, patterns, arriving={fix.fix_id for fix in fixes})
            told = [*envelopes, *map(announce, taken_in)]
            await _record(connection, event_ids, fixes, told)
        return told

    async def settle(self, fix_ids: Sequence[UUID]) -> list[None]:
        """They are open no longer. One that is not known yet is passed over."""
        await self._pool.execute(SETTLE, fix_ids)
        return [None] * len(fix_ids)

    async def give_up(self, fix: Categorized, envelopes: Sequence[Envelope]) -> None:
        """Says on the fix why it has no category. Not in the inbox: the message may be sent again."""
        await _record(self._pool, [], [fix], envelopes, heard=False)

    async def correct(self, command: Correction, announce: Announce) -> list[Envelope]:
        async with self._pool.acquire() as connection, connection.transaction():
            if not await take(connection, SCHEMA, [command.command_id]):
                return []
            row = await connection.fetchrow(
                CORRECT, command.fix_id, command.category, command.principal, command.revision
            )
            if row is None and command.revision is not None:
                refuse(412, "precondition_failed", "it has changed since you read it; read it again")
            if row is None:
                refuse(404, "not_found", "fix: not found, or not yet known")
            envelopes = [announce(row)]
            await put(connection, SCHEMA, envelopes)
        return envelopes


async def _record(
    connection: Connection | asyncpg.Pool, event_ids: Sequence[UUID], fixes: Sequence[Categorized],
    envelopes: Sequence[Envelope], *, heard: bool = True,
) -> None:  # fmt: skip
    """Of `fixes` those whose message is new; without having been `heard` all of them."""
    await connection.execute(
        RECORD, event_ids, [fix.row() for fix in fixes], [fix.fix_id for fix in fixes],
        [half(fix.embedding.text) for fix in fixes], [sparse(fix.embedding.paths) for fix in fixes], not heard,
        *columns(envelopes),
    )  # fmt: skip


async def _form(connection: Connection, patterns: Sequence[Formed], arriving: Set[UUID]) -> list[asyncpg.Record]:
    """The stored members, which are in them from now on."""
    stored = [(pattern.id, member) for pattern in patterns for member in pattern.members if member not in arriving]
    told = ("id", "label", "category", "example_fix_id", "first_seen_at", "last_seen_at")
    rows: list[asyncpg.Record] = await connection.fetch(
        FORM, *([getattr(pattern, name) for pattern in patterns] for name in told),
        [half(pattern.place.text) for pattern in patterns], [sparse(pattern.place.paths) for pattern in patterns],
        [pattern_id for pattern_id, _ in stored], [member for _, member in stored],
    )  # fmt: skip
    return rows
