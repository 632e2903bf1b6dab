"""Commands about collaborations, and what happens to them by itself: their deadline, and their numbers."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import asyncpg

from services.patterns.collaborations_store import CollaborationStore, Room
from services.patterns.consensus import accepted, check_join, check_proposal, check_vote, updated
from services.patterns.learnings import Learnings, prepared
from services.patterns.metrics import PatternsMetrics
from services.patterns.screening import screen
from shared.bus import Bus
from shared.contracts.commands import (
    CollaborationJoin,
    CollaborationOpen,
    CollaborationUpdate,
    LearningCreate,
    SolutionPropose,
    SolutionVote,
)
from shared.contracts.envelope import Envelope
from shared.contracts.knowledge import CollaborationChanged
from shared.errors import refuse
from shared.ids import derived_id
from shared.outbox import Outbox

EXPIRE_SECONDS = 2.0
MEASURE_SECONDS = 15.0
# Of one round of the timer; the rest waits for the next.
MOST_EXPIRED = 64

log = logging.getLogger(__name__)


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass
class Collaborations:
    store: CollaborationStore
    learnings: Learnings
    outbox: Outbox
    bus: Bus
    metrics: PatternsMetrics
    now: Callable[[], datetime] = utc_now

    async def open(self, command: CollaborationOpen) -> UUID:
        check_text(command.title, "\n".join(command.agent_domains))
        async with self._announced(self.store.opened(command)):
            return command.id

    async def join(self, command: CollaborationJoin) -> UUID:
        async with self._announced(self.store.locked(command.command_id, command.id)) as room:
            if room:
                check_join(room.case, self.now())
                if await room.join(command.principal, command.agent_id):
                    await room.write(room.case)
        return command.id

    async def update(self, command: CollaborationUpdate) -> UUID:
        check_text(command.changes.title or "", "")
        async with self._announced(self.store.locked(command.command_id, command.id)) as room:
            if room:
                after = updated(room.case, command, self.now())
                if after != room.case:
                    await room.write(after)
        return command.id

    async def propose(self, command: SolutionPropose) -> UUID:
        check_text(command.title, command.body)
        async with self._announced(self.store.locked(command.id, command.collaboration_id)) as room:
            if room:
                check_proposal(room.case, command.principal, await room.solutions(), self.now())
                await room.propose(command)
                await room.write(room.case)
        return command.id

    async def vote(self, command: SolutionVote) -> UUID:
        check_text("", command.reason or "", "reason")
        async with self._announced(self.store.locked(command.command_id, command.collaboration_id)) as room:
            if room:
                solution = await room.solution(command.solution_id)
                check_vote(room.case, command.principal, solution and solution["principal"], self.now())
                await room.vote(command)
                if not await self._resolved(room):
                    await room.write(room.case)
        return command.collaboration_id

    async def _resolved(self, room: Room) -> bool:
        """Whether a solution has won, which then becomes a learning."""
        tallies, voters = await room.standing()
        won = accepted(room.case, tallies, voters, self.now())
        solution = await room.solution(won) if won else None
        if solution is None:
            return False
        await room.resolve(solution["id"], prepared(lesson(room, solution)), self.now())
        return True

    async def expire(self) -> None:
        """Runs until cancelled. A row that one replica closes is passed over by the others."""
        await self._repeat(EXPIRE_SECONDS, self._expire_some)

    async def measure(self) -> None:
        """Runs until cancelled."""
        await self._repeat(MEASURE_SECONDS, self._measure)

    async def _repeat(self, seconds: float, act: Callable[[], Awaitable[None]]) -> None:
        """An outage is waited out: what is due stays due."""
        while True:
            await asyncio.sleep(seconds)
            try:
                await act()
            except (OSError, TimeoutError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError) as error:
                log.warning("collaborations are looked after later: %s", error)
            except Exception:
                log.exception("looking after collaborations failed; it is tried again")

    async def _expire_some(self) -> None:
        for _ in range(MOST_EXPIRED):
            if not await self._expire_one():
                return

    async def _measure(self) -> None:
        self.metrics.ended(*await self.store.ended())

    async def _expire_one(self) -> bool:
        async with self._announced(self.store.due(self.now())) as room:
            if room and not await self._resolved(room):
                await room.expire(self.now())
        return room is not None

    @asynccontextmanager
    async def _announced(self, opened: AbstractAsyncContextManager[Room | None]) -> AsyncIterator[Room | None]:
        """What changes inside is announced with it: in one transaction, and published after the commit."""
        said: list[Envelope] = []
        async with opened as room:
            yield room
            if room:
                said = [self._changed(row) for row in room.changed]
                said += [self.learnings.changed(row) for row in room.learned]
                await room.announce(said)
        if room:
            # Opened just now, or closed; what happens in between is no new status.
            reached = [row["status"] for row in room.changed if row["version"] == 1 or row["status"] != "open"]
            self.metrics.collaborated(room.case.collaboration_type, reached)
        await self.outbox.publish(said)

    def _changed(self, row: asyncpg.Record) -> Envelope:
        return self.bus.seal(CollaborationChanged(id=row["id"], version=row["version"], status=row["status"]))


def check_text(title: str, body: str, field: str = "body") -> None:
    """Members read it at once, so it is not held but refused."""
    if reasons := screen(title, body):
        refuse(400, "screened", f"this must not reach other agents: it holds {', '.join(reasons)}", field)


def lesson(room: Room, solution: asyncpg.Record) -> LearningCreate:
    """What the accepted solution teaches whoever did not take part."""
    return LearningCreate(
        id=derived_id("learning", str(solution["id"])),
        principal=solution["principal"],
        agent_id=solution["agent_id"],
        title=solution["title"],
        body=solution["body"],
        agent_domains=room.case.agent_domains,
        collaboration_id=room.case.id,
    )
