"""The SQL of learnings: their text and its history, and the citations that their counts rest on."""

from uuid import UUID

import asyncpg
import msgspec

from services.patterns.embedding import Vector, embed_words
from services.patterns.learning_rules import DUPLICATE, Decide, Learning
from services.patterns.store import SCHEMA, Announce
from services.patterns.vectors import half
from shared.contracts.commands import LearningCommand, LearningCreate
from shared.contracts.envelope import Envelope
from shared.contracts.fixes import OutcomeRecorded
from shared.database import Connection, Database
from shared.errors import refuse
from shared.outbox import put, take

NEAREST = """
select id, 1 - (embedding <=> $1) as similarity from patterns.agent_learnings
where status = 'active' order by embedding <=> $1 limit 1
"""
CREATE = """
insert into patterns.agent_learnings (id, principal, agent_id, title, body, agent_domains, category, pattern_id, fix_id,
  collaboration_id, status, held_reasons, duplicate_of, embedding)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
on conflict (id) do nothing returning id, version, false as deleted
"""
# By id, as every statement here locks them: two commands never wait for each other.
LOCK = """
select id, principal, title, body, agent_domains, category, pattern_id, held_reasons, superseded_by, released_by,
  version, status
from patterns.agent_learnings where id = any($1::uuid[]) or superseded_by = $2 order by id for update
"""
KEEP = """
insert into patterns.learning_versions (learning_id, version, title, body, agent_domains, category, pattern_id, status,
  held_reasons, superseded_by, replaced_by)
select id, version, title, body, agent_domains, category, pattern_id, status, held_reasons, superseded_by, $2
from patterns.agent_learnings where id = $1
"""
WRITE = """
update patterns.agent_learnings set title = $2, body = $3, agent_domains = $4, category = $5, pattern_id = $6,
  status = $7, held_reasons = $8, superseded_by = $9, embedding = $10, released_by = $11,
  version = version + 1, updated_at = now()
where id = $1 returning id, version, false as deleted
"""
# Whatever pointed here points on, so that one step always leads to what is in force.
POINT_ON = """
update patterns.agent_learnings set superseded_by = $2, version = version + 1, updated_at = now(),
  status = case when $2::uuid is null and status = 'superseded' then 'active' else status end
where superseded_by = $1 returning id, version, false as deleted
"""
DELETE = "delete from patterns.agent_learnings where id = $1 returning id, version + 1 as version, true as deleted"
FORGET_USES = "delete from patterns.learning_uses where learning_id = $1"
FORGET_LEARNED = "update patterns.agent_collaborations set learning_id = null where learning_id = $1"

CITED = "select id from patterns.agent_learnings where id = any($1::uuid[]) order by id for update"
# An outcome that was withdrawn leaves the citation unsettled (null); an older word never replaces a newer one.
USE = """
insert into patterns.learning_uses as u (learning_id, fix_id, succeeded, revision) select unnest($1::uuid[]), $2, $3, $4
on conflict (learning_id, fix_id) do update set succeeded = excluded.succeeded, revision = excluded.revision
where u.revision <= excluded.revision
"""
COUNT = """
update patterns.agent_learnings l set uses = c.uses, successes = c.successes, updated_at = now(), version = version + 1
from (
  select learning_id, count(succeeded)::int as uses, count(*) filter (where succeeded)::int as successes
  from patterns.learning_uses where learning_id = any($1::uuid[]) group by learning_id
) c
where l.id = c.learning_id and (l.uses, l.successes) is distinct from (c.uses, c.successes)
returning l.id, l.version, false as deleted
"""


class NewLearning(msgspec.Struct, frozen=True):
    """A learning as it is first written, with its place and what screening found."""

    command: LearningCreate
    embedding: Vector
    held_reasons: tuple[str, ...]


class LearningStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, learning: NewLearning, announce: Announce) -> list[Envelope]:
        """The id is the caller's: the same command again changes nothing."""
        async with self._database.pool.acquire() as connection, connection.transaction():
            if not await take(connection, SCHEMA, [learning.command.id]):
                return []
            row = await write_learning(connection, learning)
            envelopes = [announce(row)] if row else []
            await put(connection, SCHEMA, envelopes)
        return envelopes

    async def change(
        self, command: LearningCommand, decide: Decide, announce: Announce, successor: UUID | None = None
    ) -> list[Envelope]:
        """Applies what `decide` makes of the learning. `successor` is the one that is to supersede it.

        Raises `CommandRefused` as `decide` does, and for a learning or a successor that is not there.
        """
        async with self._database.pool.acquire() as connection, connection.transaction():
            if not await take(connection, SCHEMA, [command.command_id]):
                return []
            before = await _locked(connection, command.id, successor)
            after = decide(before)
            if after == before:
                return []
            rows = await _replace(connection, before, after, command.principal)
            envelopes = [announce(row) for row in rows]
            await put(connection, SCHEMA, envelopes)
        return envelopes

    async def outcome(self, event: OutcomeRecorded, event_id: UUID, announce: Announce) -> list[Envelope]:
        """Moves the counts of the learnings that the fix cites to what their citations say.

        They are locked before they are counted, so that two outcomes at once see each other's citations.
        """
        async with self._database.pool.acquire() as connection, connection.transaction():
            if not await take(connection, SCHEMA, [event_id]):
                return []
            cited = [row["id"] for row in await connection.fetch(CITED, event.learning_ids)]
            succeeded = {"succeeded": True, "failed": False}.get(event.status or "")
            await connection.execute(USE, cited, event.fix_id, succeeded, event.revision)
            envelopes = [announce(row) for row in await connection.fetch(COUNT, cited)]
            await put(connection, SCHEMA, envelopes)
        return envelopes


async def write_learning(connection: Connection, learning: NewLearning) -> asyncpg.Record | None:
    """(id, version, deleted) of the new row; None when it was there before."""
    command, place = learning.command, half(learning.embedding)
    near = await connection.fetchrow(NEAREST, place)
    duplicate_of = near["id"] if near and near["similarity"] >= DUPLICATE else None
    return await connection.fetchrow(
        CREATE, command.id, command.principal, command.agent_id, command.title, command.body, command.agent_domains,
        command.category, command.pattern_id, command.fix_id, command.collaboration_id,
        "held" if learning.held_reasons else "active", learning.held_reasons, duplicate_of, place,
    )  # fmt: skip


async def _locked(connection: Connection, learning_id: UUID, successor: UUID | None) -> Learning:
    """With it its successor and whatever it supersedes, in one order."""
    rows = {r["id"]: r for r in await connection.fetch(LOCK, [learning_id, successor], learning_id)}
    if learning_id not in rows:
        refuse(404, "not_found", "learning: not found")
    if successor is not None and (successor not in rows or rows[successor]["status"] != "active"):
        refuse(409, "not_active", "only an active learning can supersede another", "superseded_by")
    return msgspec.convert(dict(rows[learning_id]), Learning)


async def _replace(
    connection: Connection, before: Learning, after: Learning | None, principal: str
) -> list[asyncpg.Record]:
    """(id, version, deleted) of every learning that changed."""
    if after is None:
        gone = await connection.fetch(DELETE, before.id)
        await connection.execute(FORGET_USES, before.id)
        await connection.execute(FORGET_LEARNED, before.id)
        return [*gone, *await connection.fetch(POINT_ON, before.id, None)]
    await connection.execute(KEEP, before.id, principal)
    written = await connection.fetch(
        WRITE, after.id, after.title, after.body, after.agent_domains, after.category, after.pattern_id, after.status,
        after.held_reasons, after.superseded_by, half(embed_words(after.title, after.body)), after.released_by,
    )  # fmt: skip
    if after.superseded_by is None:
        return list(written)
    return [*written, *await connection.fetch(POINT_ON, before.id, after.superseded_by)]
