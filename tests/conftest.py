"""Fixtures: real servers once a session, an empty world for each test."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg
import nats
import pytest
import redis.asyncio as redis
from nats.js import JetStreamContext

from shared.topology import declare
from tests.servers import TEMPLATE, Servers, started
from tests.world import World

LOG_BYTES = 256 << 20


@pytest.fixture(scope="session")
async def servers() -> AsyncIterator[Servers]:
    async with started() as running:
        yield running


@pytest.fixture
async def database(servers: Servers) -> AsyncIterator[str]:
    """The name of a fresh database with the whole schema."""
    name = f"t_{id(object()):x}_{next(_numbers)}"
    owner = await asyncpg.connect(servers.postgres_url)
    await owner.execute(f"create database {name} template {TEMPLATE}")
    yield name
    await owner.execute(f"drop database {name} with (force)")
    await owner.close()


_numbers = iter(range(1_000_000))


async def _empty(js: JetStreamContext) -> None:
    for stream in await js.streams_info():
        await js.delete_stream(str(stream.config.name))


@pytest.fixture
async def world(servers: Servers, database: str) -> AsyncIterator[World]:
    """Empty stores, declared streams, and a way to start services in this process against them."""
    connection = await nats.connect(servers.nats_url)
    await _empty(connection.jetstream())
    await declare(connection.jetstream(), LOG_BYTES)
    cache = redis.Redis.from_url(servers.redis_url)
    await cache.flushall()
    await cache.aclose()
    async with AsyncExitStack() as stack:
        made = World(servers, database, connection, stack)
        await made.open()
        yield made
    await connection.close()


@pytest.fixture
def make_directory(tmp_path: Path) -> Callable[[str], Path]:
    def make(name: str) -> Path:
        path = tmp_path / name
        path.mkdir()
        return path

    return make
