"""The limiter on a real Redis, and without it."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from uuid import uuid4

import pytest
import redis.asyncio as redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.gateway.buckets import Demand, LocalBuckets
from services.gateway.keys import Principal
from services.gateway.limiter import MOST_TOGETHER, Limiter
from services.gateway.policies import Policies, Policy, Quota, Table
from tests.outages import Frail
from tests.servers import Servers
from tests.world import eventually

HOUR = 3600
Decisions = Counter[tuple[str, str, str]]
_names = count()


def someone() -> Principal:
    """Whose bucket nobody has touched."""
    return Principal(uuid4(), f"someone-{next(_names)}", frozenset(), ())


def table(limit: int, shared: int = 100_000, window: int = HOUR) -> Policies:
    own = Policy(name="user", limit=limit, window_seconds=window)
    return Policies(Table(everybody=Quota(shared, window), policies=(own,)), [])


@asynccontextmanager
async def limiter(url: str, policies: Policies, replicas: int = 1) -> AsyncIterator[tuple[Limiter, Decisions]]:
    seen: Decisions = Counter()
    made = Limiter(url, policies, replicas, time.monotonic, lambda *labels: seen.update([labels]))
    yield made, seen
    await made.close()


@pytest.fixture
async def store(servers: Servers) -> AsyncIterator["redis.Redis"]:
    client = redis.Redis.from_url(servers.redis_url)
    await client.flushall()
    yield client
    await client.aclose()


async def let_in(made: Limiter, policies: Policies, who: Principal, times: int) -> int:
    """How many of so many requests at once."""
    found = await asyncio.gather(*(made.take(who, policies.of(None)) for _ in range(times)))
    return sum(not verdict.violated for verdict, _ in found)


@pytest.mark.parametrize("at_once", [1, 2, MOST_TOGETHER * 3])
async def test_however_many_come_together_a_bucket_gives_what_it_holds(
    servers: Servers, store: "redis.Redis", at_once: int
) -> None:
    policies = table(100)
    async with limiter(servers.redis_url, policies) as (made, seen):
        who, given_ = someone(), 0
        for _ in range(0, 400, at_once):
            given_ += await let_in(made, policies, who, at_once)
        assert given_ == 100
        assert seen["user", "allowed", "redis"] == 100
        assert seen.total() == -(-400 // at_once) * at_once
    for key in await store.keys():
        assert await store.pttl(key) > 0, key


async def test_a_refused_request_spends_neither_bucket(servers: Servers, store: "redis.Redis") -> None:
    policies = table(5, shared=8)
    async with limiter(servers.redis_url, policies) as (made, seen):
        first, second = someone(), someone()
        assert await let_in(made, policies, first, 7) == 5
        verdict, _ = await made.take(second, policies.of(None), cost=4)
        assert [p.name for p in verdict.violated] == ["global"]
        assert (verdict.own.remaining, verdict.everybody.remaining) == (5, 3)
        assert await let_in(made, policies, second, 4) == 3
        verdict, _ = await made.take(first, policies.of(None))
        assert [p.name for p in verdict.violated] == ["user", "global"]
        assert seen == {
            ("user", "allowed", "redis"): 8,
            ("user", "refused", "redis"): 3,
            ("global", "refused", "redis"): 2,
        }


costs = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 9)), min_size=1, max_size=30)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(limit=st.integers(1, 40), shared=st.integers(1, 40), asked=costs)
async def test_redis_and_this_process_decide_alike(
    servers: Servers, store: "redis.Redis", limit: int, shared: int, asked: list[tuple[int, int]]
) -> None:
    await store.flushall()
    policies, local = table(limit, shared, 100 * HOUR), LocalBuckets(1, lambda: 1000.0)
    people = [someone(), someone()]
    async with limiter(servers.redis_url, policies) as (made, _):
        for who, cost in asked:
            if cost > min(limit, shared):  # alone, a process takes all of its share for it
                continue
            route, name = policies.of(None), people[who].name
            there, _ = await made.take(people[who], route, cost=cost)
            here = local.take(Demand(name, route.policy_for(name, ""), policies.everybody, cost, cost))
            assert there.violated == here.violated
            assert there.own.remaining == here.own.remaining
            assert there.everybody.remaining == here.everybody.remaining


async def test_what_is_read_along_comes_to_the_one_who_asked(servers: Servers, store: "redis.Redis") -> None:
    policies = table(1000)
    await store.mset({f"along:{n}": n for n in range(50)})
    async with limiter(servers.redis_url, policies) as (made, _):

        async def read(n: int) -> list[bytes | None]:
            keys = tuple(f"along:{i}" for i in range(n, n + n % 3))
            return list((await made.take(someone(), policies.of(None), keys))[1])

        found = await asyncio.gather(*(read(n) for n in range(60)))
    assert found == [[b"%d" % i if i < 50 else None for i in range(n, n + n % 3)] for n in range(60)]


async def test_who_goes_away_while_waiting_leaves_the_others_their_answers(servers: Servers) -> None:
    policies = table(1000)
    async with limiter(servers.redis_url, policies) as (made, _):
        takes = [asyncio.ensure_future(made.take(someone(), policies.of(None))) for _ in range(40)]
        await asyncio.sleep(0)
        for take in takes[::2]:
            take.cancel()
        answers = await asyncio.gather(*takes, return_exceptions=True)
        assert all(isinstance(answer, asyncio.CancelledError) for answer in answers[::2])
        assert all(answer[0].own.remaining == 999 for answer in answers[1::2])  # type: ignore[index]
        assert await let_in(made, policies, someone(), 3) == 3


@pytest.mark.parametrize("command", ["SCRIPT FLUSH", "CLIENT KILL TYPE normal SKIPME yes"])
async def test_a_redis_that_forgot_the_script_or_closed_the_connection_is_not_away(
    servers: Servers, store: "redis.Redis", command: str
) -> None:
    policies = table(10)
    async with limiter(servers.redis_url, policies) as (made, seen):
        who = someone()
        await let_in(made, policies, who, 2)
        await store.execute_command(*command.split())
        assert await let_in(made, policies, who, 20) == 8
        assert {backend for _, _, backend in seen} == {"redis"}


@pytest.mark.parametrize("outage", ["stopped", "frozen"])
async def test_redis_goes_away_under_load_and_comes_back_by_itself(outages: Frail, outage: str) -> None:
    limit, replicas, seconds = 60, 3, 1.2
    policies = table(limit)
    async with AsyncExitStack() as stack:
        gateways = [
            await stack.enter_async_context(limiter(outages.redis_url, policies, replicas)) for _ in range(replicas)
        ]
        who = someone()

        async def press(until: Callable[[], bool]) -> int:
            """Everybody asks as fast as a client does until then; nobody waits long or hears of an error."""
            given_ = 0
            while not until():
                started = time.monotonic()
                given_ += sum(await asyncio.gather(*(let_in(made, policies, who, 3) for made, _ in gateways)))
                assert time.monotonic() - started < 3
                await asyncio.sleep(0.01)
            return given_

        def after(seconds: float) -> Callable[[], bool]:
            end = time.monotonic() + seconds
            return lambda: time.monotonic() > end

        assert await press(after(seconds / 4)) == limit
        if outage == "stopped":
            await outages.stop("valkey")
        else:
            outages.freeze("valkey")
        # Each has its share, and nothing but its share.
        assert await press(after(seconds)) == limit
        assert {made.backend for made, _ in gateways} == {"local"}
        verdict, read = await gateways[0][0].take(who, policies.of(None), ("any",))
        assert (verdict.backend, verdict.own.policy.limit, read) == ("local", limit // replicas, (None,))
        if outage == "stopped":
            await outages.start("valkey")
        else:
            outages.thaw("valkey")

        async def back() -> bool:
            return all(made.backend == "redis" for made, _ in gateways)

        await eventually(back)
        # Restarted, Redis begins anew; thawed, it knows what was spent.
        assert await press(after(seconds / 4)) == (limit if outage == "stopped" else 0)
        for _, seen in gateways:
            assert seen["user", "allowed", "local"] == limit // replicas
