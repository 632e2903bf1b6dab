"""A process starts while Postgres is away, and can tell."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from shared.database import PING_SECONDS, Database
from shared.settings import Settings
from tests.servers import Servers, free_port


def database(url: str) -> Database:
    return Database(Settings(nats_url="", redis_url="", database_url=url), "test")


@pytest.fixture
async def away() -> Database:
    found = database(f"postgresql://nobody@127.0.0.1:{free_port()}/none")
    await found.open()
    return found


async def test_opening_does_not_wait_for_postgres_and_the_ping_says_that_it_is_away(away: Database) -> None:
    assert await away.alive() is False
    await away.close()


@asynccontextmanager
async def silence() -> AsyncIterator[tuple[Database, list[object]]]:
    """A Postgres that takes connections and says nothing, as one that is stopped or cut off; and who has come."""
    callers: list[object] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        callers.append(writer)
        await reader.read()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    silent = database(f"postgresql://nobody@127.0.0.1:{server.sockets[0].getsockname()[1]}/none")
    await silent.open()
    yield silent, callers
    await silent.close()
    server.close()


async def test_a_postgres_that_says_nothing_is_away_after_a_while() -> None:
    async with silence() as (silent, _):
        before = time.monotonic()
        assert await silent.alive() is False
        assert time.monotonic() - before < 2 * PING_SECONDS


async def test_callers_at_one_moment_share_one_ping() -> None:
    async with silence() as (silent, callers):
        assert await asyncio.gather(*(silent.alive() for _ in range(20))) == [False] * 20
        assert len(callers) == 1


async def test_a_caller_that_gives_up_waiting_does_not_end_the_ping_for_the_others(
    servers: Servers, database_name: str
) -> None:
    here = database(servers.database_url(database_name))
    await here.open()
    first, second = asyncio.create_task(here.alive()), asyncio.create_task(here.alive())
    await asyncio.sleep(0)
    first.cancel()
    assert await second is True
    await here.close()


@pytest.fixture
def database_name(database: str) -> str:
    return database
