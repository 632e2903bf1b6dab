"""How learnings fared: right whatever comes twice, late, at once or in another order."""

import random
from datetime import UTC, datetime
from uuid import UUID, uuid4

import msgspec

from shared.contracts.commands import LEARNING_CREATE, LearningCreate
from shared.contracts.fixes import FixStatus, OutcomeKind, OutcomeRecorded
from shared.ids import new_id
from tests.bus import say, unfinished
from tests.world import World, eventually

NOW = datetime(2026, 3, 1, tzinfo=UTC)
KIND: dict[FixStatus, OutcomeKind] = {"succeeded": "held", "failed": "reverted", "scored": "merged"}


async def learned(world: World, title: str) -> UUID:
    command = LearningCreate(id=new_id(), principal="ann", agent_id="claude", title=title, body="Return early.")
    await world.nats.request(LEARNING_CREATE, msgspec.json.encode(command), timeout=5)
    return command.id


def recorded(fix_id: UUID, status: FixStatus, revision: int, *learning_ids: UUID) -> OutcomeRecorded:
    return OutcomeRecorded(
        outcome_id=new_id(), fix_id=fix_id, kind=KIND[status], observed_at=NOW, accepted=True, status=status,
        learning_ids=learning_ids, revision=revision,
    )  # fmt: skip


async def test_a_learning_cited_by_ten_fixes_counts_right_in_any_order_and_twice(world: World) -> None:
    await world.start("patterns", "patterns")
    one, other = [await learned(world, title) for title in ("Check the token", "Close the pool")]
    fixes = [new_id() for _ in range(10)]
    # Each is first told to have failed; six then held after all, one was only merged, and one is told a third time.
    told = [recorded(fix, "failed", 1, one, other) for fix in fixes]
    told += [recorded(fix, "succeeded", 2, one, other) for fix in fixes[:6]]
    told += [recorded(fixes[6], "scored", 2, one, other), recorded(fixes[0], "failed", 3, one, other)]
    events = [event for event in told for _ in range(2)]
    random.Random(7).shuffle(events)
    for event in events:
        await say(world, event, headers={"Nats-Msg-Id": str(uuid4())})

    async def heard() -> bool:
        return await unfinished(world, "patterns_fixes_outcome_recorded_v1") == (0, 0)

    await eventually(heard)
    counts = await world.owner.fetch(
        "select uses, successes from patterns.agent_learnings where id = any($1)", [one, other]
    )
    assert [tuple(row) for row in counts] == [(9, 5), (9, 5)]


async def test_a_claim_that_was_refused_counts_for_nothing(world: World) -> None:
    await world.start("patterns")
    learning = await learned(world, "Check the token")
    refused = msgspec.structs.replace(recorded(new_id(), "succeeded", 1, learning), accepted=False)
    counted = recorded(new_id(), "succeeded", 1, learning)
    await say(world, refused, counted)

    async def moved() -> bool:
        row = await world.owner.fetchrow("select uses, successes from patterns.agent_learnings where id = $1", learning)
        return tuple(row) == (1, 1)

    await eventually(moved)
