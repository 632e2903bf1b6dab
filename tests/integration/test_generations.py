"""A change that was answered or announced has moved the generations of what it touched."""

import json
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
import redis.asyncio as redis

from shared import outbox
from shared.contracts.envelope import seal
from shared.contracts.fixes import FixScored
from shared.generations import Generations, every, one
from tests.diffs import fix
from tests.outages import Frail
from tests.world import World, eventually

LEARNING = {"agent_id": "claude", "title": "Close what you open", "body": "A connection is closed in a finally."}


def client(world: World) -> "redis.Redis":
    return redis.Redis.from_url(world.servers.redis_url)


async def test_a_generation_stays_until_it_is_moved(world: World) -> None:
    generations = Generations(world.servers.redis_url)
    learning = uuid4()
    keys = (every("learnings"), one("learnings", learning))
    before = await generations.of(keys)
    assert before == await generations.of(keys)
    await generations.moved(keys[:1])
    after = await generations.of(keys)
    assert before is not None
    assert after is not None
    assert (after[0] != before[0], after[1] == before[1]) == (True, True)
    await generations.close()


async def test_a_generation_that_redis_has_lost_matches_nothing_older(world: World) -> None:
    generations = Generations(world.servers.redis_url)
    before = await generations.of(["gen:fixes"])
    async with client(world) as store:
        await store.flushall()
    assert await generations.of(["gen:fixes"]) != before
    await generations.close()


async def test_what_could_not_be_moved_is_moved_when_redis_is_back(frail_world: World, outages: Frail) -> None:
    generations = Generations(frail_world.servers.redis_url)
    key = one("fixes", UUID(int=1))
    await outages.stop("valkey")
    await generations.moved([key])
    assert await generations.of([key]) is None
    await outages.start("valkey")
    async with client(frail_world) as store:
        assert await store.get(key) is None
        await generations.settle()
        assert await store.get(key) is not None
    await generations.close()


async def test_the_generations_have_moved_when_a_change_is_answered(world: World) -> None:
    await world.start("scoring", "patterns")
    api = await world.gateway()
    async with client(world) as store:

        async def moved(what: str, entity: str) -> bool:
            return all(await store.mget(every(what), one(what, entity)))

        made = await api.post("/v1/learnings", LEARNING)
        assert await moved("learnings", made.json()["id"])
        scored = await api.post("/v1/fixes", fix(), headers={"Prefer": "wait=5"})
        assert await moved("fixes", scored.json()["id"])
        before = await store.get(every("fixes"))
        await api.client.patch(
            f"/v1/fixes/{scored.json()['id']}",
            json={"category": "security"},
            headers={"Authorization": f"Bearer {api.keys['owner']}"},
        )
        assert await store.get(every("fixes")) != before


async def test_what_a_killed_worker_left_untold_makes_answers_old_when_the_relay_tells_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "LEFT_BEHIND_SECONDS", 0)
    event = FixScored(
        id=uuid4(), agent_id="claude", repository="acme/shop", status="scored", scored_at=datetime.now(UTC)
    )
    left = seal(event, source="scoring", now=event.scored_at)
    generations = Generations(world.servers.redis_url)
    keys = (every("fixes"), one("fixes", event.id))
    before = await generations.of(keys)
    await world.owner.execute(
        "insert into scoring.outbox (event_id, subject, headers, payload) values ($1, $2, $3, $4)",
        left.event_id,
        left.subject,
        json.dumps(left.headers),
        left.payload,
    )
    await world.start("scoring")

    async def moved() -> bool:
        after = await generations.of(keys)
        assert before is not None
        assert after is not None
        return not set(before) & set(after)

    await eventually(moved)
    await generations.close()
