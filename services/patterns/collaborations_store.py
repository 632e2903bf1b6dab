"""The SQL of collaborations. Every change locks the collaboration first, so that two of them happen one by one."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from uuid import UUID

import asyncpg
import msgspec

from services.patterns.consensus import Case, Tally
from services.patterns.learnings_store import NewLearning, write_learning
from services.patterns.store import SCHEMA
from shared.contracts.commands import CollaborationOpen, SolutionPropose, SolutionVote
from shared.contracts.envelope import Envelope
from shared.database import Connection, Database
from shared.errors import refuse
from shared.outbox import put, take

OPEN = """
insert into patterns.agent_collaborations (id, principal, agent_id, title, collaboration_type, quorum, margin, deadline,
  agent_domains)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9) on conflict (id) do nothing returning *
"""
LOCK = "select * from patterns.agent_collaborations where id = $1 for update"
MEMBERS = "select principal from patterns.collaboration_members where collaboration_id = $1"
JOIN = """
insert into patterns.collaboration_members (collaboration_id, principal, agent_id) values ($1, $2, $3)
on conflict do nothing returning true
"""
PROPOSE = """
insert into patterns.collaboration_solutions (id, collaboration_id, principal, agent_id, title, body)
values ($1, $2, $3, $4, $5, $6) on conflict (id) do nothing
"""
SOLUTIONS = "select count(*) from patterns.collaboration_solutions where collaboration_id = $1"
SOLUTION = "select * from patterns.collaboration_solutions where id = $1 and collaboration_id = $2"
VOTE = """
insert into patterns.collaboration_votes (solution_id, principal, collaboration_id, value, reason)
values ($1, $2, $3, $4, $5)
on conflict (solution_id, principal) do update
  set value = excluded.value, reason = excluded.reason, voted_at = clock_timestamp()
"""
TALLIES = """
select s.id as solution_id, count(v.value) filter (where v.value = 1)::int as votes_for,
  count(v.value) filter (where v.value = -1)::int as votes_against
from patterns.collaboration_solutions s left join patterns.collaboration_votes v on v.solution_id = s.id
where s.collaboration_id = $1 group by s.id
"""
VOTERS = "select count(distinct principal) from patterns.collaboration_votes where collaboration_id = $1"
WRITE = """
update patterns.agent_collaborations set title = $2, deadline = $3, progress = $4, version = version + 1
where id = $1 returning id, version, status, collaboration_type
"""
CLOSE = """
update patterns.agent_collaborations set version = version + 1, status = $2, accepted_solution_id = $3,
  learning_id = $4, progress = case when $2 = 'resolved' then 1 else progress end, closed_at = $5
where id = $1 returning id, version, status, collaboration_type
"""
# Skipping what another replica works on: each is closed by one of them.
DUE = """
select * from patterns.agent_collaborations where status = 'open' and deadline <= $1
order by deadline limit 1 for update skip locked
"""
ENDED = """
select coalesce(sum(count) filter (where status = 'resolved'), 0)::int as resolved,
  coalesce(sum(count), 0)::int as ended
from patterns.collaboration_stats where status <> 'open'
"""


class Room:
    """One collaboration, locked for one command. What changed is collected for whoever announces it."""

    def __init__(self, connection: Connection, case: Case) -> None:
        self.case = case
        self.changed: list[asyncpg.Record] = []
        self.learned: list[asyncpg.Record] = []
        self._connection = connection

    async def join(self, principal: str, agent_id: str) -> bool:
        """Whether this is new."""
        return bool(await self._connection.fetchval(JOIN, self.case.id, principal, agent_id))

    async def propose(self, command: SolutionPropose) -> None:
        await self._connection.execute(PROPOSE, *msgspec.structs.astuple(command))

    async def solution(self, solution_id: UUID) -> asyncpg.Record | None:
        return await self._connection.fetchrow(SOLUTION, solution_id, self.case.id)

    async def solutions(self) -> int:
        return int(await self._connection.fetchval(SOLUTIONS, self.case.id))

    async def vote(self, command: SolutionVote) -> None:
        await self._connection.execute(
            VOTE, command.solution_id, command.principal, self.case.id, command.value, command.reason
        )

    async def standing(self) -> tuple[list[Tally], int]:
        """The tallies and how many principals have voted."""
        tallies = [Tally(*row) for row in await self._connection.fetch(TALLIES, self.case.id)]
        return tallies, await self._connection.fetchval(VOTERS, self.case.id)

    async def write(self, case: Case) -> None:
        row = await self._connection.fetchrow(WRITE, case.id, case.title, case.deadline, case.progress)
        self.changed.append(row)

    async def resolve(self, solution_id: UUID, learning: NewLearning, now: datetime) -> None:
        learned = await write_learning(self._connection, learning)
        self.learned += [learned] if learned else []
        row = await self._connection.fetchrow(CLOSE, self.case.id, "resolved", solution_id, learning.command.id, now)
        self.changed.append(row)

    async def expire(self, now: datetime) -> None:
        self.changed.append(await self._connection.fetchrow(CLOSE, self.case.id, "expired", None, None, now))

    async def announce(self, envelopes: Sequence[Envelope]) -> None:
        await put(self._connection, SCHEMA, envelopes)


class CollaborationStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def opened(self, command: CollaborationOpen) -> AsyncIterator[Room | None]:
        """The new collaboration with its first member; None when it was opened before."""
        async with self._database.pool.acquire() as connection, connection.transaction():
            row = await connection.fetchrow(
                OPEN, command.id, command.principal, command.agent_id, command.title, command.collaboration_type,
                command.quorum, command.margin, command.deadline, command.agent_domains,
            )  # fmt: skip
            room = row and Room(connection, msgspec.convert(dict(row), Case))
            if room is not None:
                await room.join(command.principal, command.agent_id)
                room.changed.append(row)
            yield room

    @asynccontextmanager
    async def locked(self, command_id: UUID, collaboration_id: UUID) -> AsyncIterator[Room | None]:
        """None when the command was carried out before. Raises `CommandRefused` when there is no such collaboration."""
        async with self._database.pool.acquire() as connection, connection.transaction():
            if not await take(connection, SCHEMA, [command_id]):
                yield None
                return
            row = await connection.fetchrow(LOCK, collaboration_id)
            if row is None:
                refuse(404, "not_found", "collaboration: not found")
            members = [r["principal"] for r in await connection.fetch(MEMBERS, collaboration_id)]
            yield Room(connection, msgspec.convert(dict(row) | {"members": members}, Case))

    @asynccontextmanager
    async def due(self, now: datetime) -> AsyncIterator[Room | None]:
        """One that is past its deadline, the longest due first; None when there is none for this replica."""
        async with self._database.pool.acquire() as connection, connection.transaction():
            row = await connection.fetchrow(DUE, now)
            yield row and Room(connection, msgspec.convert(dict(row), Case))

    async def ended(self) -> tuple[int, int]:
        """(resolved, ended in any way)."""
        row = await self._database.pool.fetchrow(ENDED)
        return row["resolved"], row["ended"]
