"""Connections to Redis that are kept: each reply goes to who asked, whatever became of the trip before."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
import redis.asyncio as redis
from redis.exceptions import ResponseError

from shared.redis_connections import AWAY, RedisConnections
from tests.outages import Frail
from tests.world import World

SLOW = ("EVAL", "local n = 0; for i = 1, 2e6 do n = n + i end; return 'slow'", 0)


@pytest.fixture
async def connections(world: World) -> AsyncIterator[RedisConnections]:
    made = RedisConnections(world.servers.redis_url, 1)
    yield made
    await made.close()


async def test_commands_travel_together_and_are_answered_in_order(connections: RedisConnections) -> None:
    assert await connections.ask(("SET", "a", "1"), ("GET", "a"), ("GET", "b")) == [b"OK", b"1", None]


async def test_a_refusal_is_raised_and_the_replies_after_it_go_to_nobody_else(connections: RedisConnections) -> None:
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await connections.ask(("SET", "text", "1"), ("LPUSH", "text", "2"), ("ECHO", "after it"))
    assert await connections.ask(("ECHO", "next")) == [b"next"]


async def test_who_leaves_takes_the_reply_along(connections: RedisConnections) -> None:
    leaving = asyncio.create_task(connections.ask(SLOW))
    await asyncio.sleep(0.002)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert await connections.ask(("ECHO", "mine")) == [b"mine"]


async def test_a_connection_that_was_closed_meanwhile_is_made_anew(world: World, connections: RedisConnections) -> None:
    assert await connections.ask(("PING",)) == [b"PONG"]
    async with redis.Redis.from_url(world.servers.redis_url) as other:
        await other.client_kill_filter(_type="normal", skipme=True)
    assert await connections.ask(("PING",)) == [b"PONG"]


async def test_more_than_there_are_connections_wait_for_their_turn(connections: RedisConnections) -> None:
    found = await asyncio.gather(*(connections.ask(("ECHO", str(number))) for number in range(50)))
    assert found == [[str(number).encode()] for number in range(50)]


@pytest.mark.parametrize("how", ["frozen", "stopped"])
async def test_nobody_waits_long_for_a_redis_that_is_away_and_it_is_asked_again_when_it_is_back(
    frail_world: World, outages: Frail, how: str
) -> None:
    connections = RedisConnections(frail_world.servers.redis_url, 1, 0.2)
    assert await connections.ask(("PING",)) == [b"PONG"]
    if how == "frozen":
        outages.freeze("valkey")
    else:
        await outages.stop("valkey")
    started = time.monotonic()
    found = await asyncio.gather(*(connections.ask(("PING",)) for _ in range(3)), return_exceptions=True)
    assert time.monotonic() - started < 5
    assert all(isinstance(each, AWAY) for each in found)
    if how == "frozen":
        outages.thaw("valkey")
    else:
        await outages.start("valkey")
    assert await connections.ask(("ECHO", "back")) == [b"back"]
    await connections.close()
