"""Three gateways, each a process of its own, on one Redis: what is promised holds on all of them, also under load."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
import redis.asyncio as redis

from cli.keys import revoke_key
from tests.processes import gateway_process
from tests.world import Api, World, eventually

GATEWAYS = 3
AT_ONCE = 3
# Tokens, and how many come back in a second.
USER, USER_RATE = 40, 2
GLOBAL, GLOBAL_RATE = 90, 1.5
LIMITS = """
global = { limit = 90, window_seconds = 60 }
policies = [{ name = "user", limit = 40, window_seconds = 20 }]
"""
LEARNING = {"agent_id": "claude", "title": "Close what you open", "body": "A connection is closed in a finally."}
# The promise is a second; the rest is the time that a busy machine takes to ask.
GONE_SECONDS = 2.0


@pytest.fixture(scope="module")
async def processes(standing: World, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[list[Api]]:
    limits: Path = tmp_path_factory.mktemp("limits") / "limits.toml"
    limits.write_text(LIMITS)
    async with AsyncExitStack() as stack:
        await standing.start("patterns")
        starting = [gateway_process(standing, POLICIES=str(limits)) for _ in range(GATEWAYS)]
        apis = [(await stack.enter_async_context(process))[1] for process in starting]
        keys = {name: await standing.key(name) for name in ("one", "two", "three", "writer", "leaver")}
        for api in apis:
            api.keys |= keys
        yield apis


@pytest.fixture
async def gateways(processes: list[Api]) -> list[Api]:
    """With full buckets."""
    async with redis.Redis.from_url(processes[0].world.servers.redis_url) as store:
        await store.flushall()
    return processes


async def storm(api: Api, who: str, requests: int) -> int:
    """How many of the requests were let in."""
    statuses = [(await api.get("/v1/models", as_=who)).status_code for _ in range(requests)]
    assert set(statuses) <= {200, 429}
    return statuses.count(200)


@asynccontextmanager
async def load(gateways: list[Api]) -> AsyncIterator[None]:
    """Somebody asks all of them for more than is allowed, until the block ends."""

    async def ask(api: Api) -> None:
        while True:
            await storm(api, "one", 1)

    asking = [asyncio.create_task(ask(api)) for api in gateways for _ in range(AT_ONCE)]
    try:
        yield
        assert not any(task.done() for task in asking)
    finally:
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)


async def test_together_they_let_in_the_burst_and_the_refill_and_nothing_more(gateways: list[Api]) -> None:
    let_in = dict.fromkeys(("one", "two", "three"), 0)
    begun = time.monotonic()
    for who in let_in:
        let_in[who] = sum(await asyncio.gather(*(storm(api, who, 20) for api in gateways for _ in range(AT_ONCE))))
    seconds = time.monotonic() - begun
    assert USER <= let_in["one"] <= USER + USER_RATE * seconds
    assert max(let_in.values()) <= USER + USER_RATE * seconds
    assert GLOBAL <= sum(let_in.values()) <= GLOBAL + GLOBAL_RATE * seconds


async def test_what_one_has_answered_the_next_read_on_every_other_shows(gateways: list[Api]) -> None:
    async with load(gateways):
        for n in range(6):
            writer, *others = gateways[n % GATEWAYS :] + gateways[: n % GATEWAYS]
            made = await writer.post("/v1/learnings", LEARNING | {"title": f"Lesson {n}"}, as_="writer")
            assert made.status_code == 201, made.text
            for reader in others:
                listed = await reader.get("/v1/learnings", as_="writer")
                assert listed.json()["items"][0]["id"] == made.json()["id"]


async def test_a_revoked_key_is_refused_by_all_within_a_second(gateways: list[Api]) -> None:
    async with load(gateways):
        key = gateways[0].keys["leaver"]
        assert [(await api.get("/v1/models", as_="leaver")).status_code for api in gateways] == [200] * GATEWAYS
        assert await revoke_key(gateways[0].world.servers.database_url(gateways[0].world.database), key[3:11])

        letting_in = list(gateways)

        async def gone() -> bool:
            # Whoever has refused it is not asked again: too many failures of one address are a 429.
            for api in list(letting_in):
                if (await api.get("/v1/models", as_="leaver")).status_code == 401:
                    letting_in.remove(api)
            return not letting_in

        await eventually(gone, GONE_SECONDS)
