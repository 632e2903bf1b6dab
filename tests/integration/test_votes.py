"""Votes that meet in Postgres."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

from services.patterns.collaborations_store import CollaborationStore
from shared.contracts.commands import CollaborationOpen, SolutionPropose, SolutionVote
from shared.database import Database
from shared.ids import new_id
from tests.world import World

VOTERS = ("bob", "cy", "dee", "eve")


async def case(store: CollaborationStore) -> tuple[UUID, UUID]:
    """(collaboration, solution)."""
    deadline = datetime.now(UTC) + timedelta(days=1)
    opening = CollaborationOpen(
        id=new_id(), principal="ann", agent_id="claude", title="Slow login", collaboration_type="debug",
        quorum=len(VOTERS), margin=1, deadline=deadline,
    )  # fmt: skip
    async with store.opened(opening):
        pass
    idea = SolutionPropose(
        id=new_id(), collaboration_id=opening.id, principal="ann", agent_id="claude", title="Warm it", body="First."
    )
    async with store.locked(idea.id, opening.id) as room:
        assert room is not None
        await room.propose(idea)
    return opening.id, idea.id


async def test_each_of_the_votes_at_once_sees_those_before_it(world: World) -> None:
    """Were two of them to miss each other, neither would find the quorum, and nobody would decide."""
    database = Database(world.settings("patterns_rw"), "patterns")
    await database.open()
    store = CollaborationStore(database)
    collaboration, solution = await case(store)
    seen: list[tuple[int, int]] = []

    async def cast(voter: str) -> None:
        ballot = SolutionVote(
            command_id=new_id(), collaboration_id=collaboration, solution_id=solution, principal=voter, value=1
        )
        async with store.locked(ballot.command_id, collaboration) as room:
            assert room is not None
            await room.vote(ballot)
            [tally], voters = await room.standing()
            seen.append((voters, tally.votes_for))

    await asyncio.gather(*(cast(voter) for voter in VOTERS))
    await database.close()
    assert sorted(seen) == [(n, n) for n in range(1, len(VOTERS) + 1)]
