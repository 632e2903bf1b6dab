"""A process starts while Postgres is away, and can tell."""

import asyncio
import time

import pytest

from shared.database import Database
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


async def test_a_postgres_that_takes_the_connection_and_says_nothing_is_away() -> None:
    """As one that is stopped or partitioned off: only a limit in time tells."""
    server = await asyncio.start_server(lambda *_: asyncio.sleep(30), "127.0.0.1", 0)
    silent = database(f"postgresql://nobody@127.0.0.1:{server.sockets[0].getsockname()[1]}/none")
    await silent.open()
    before = time.monotonic()
    assert await silent.alive() is False
    assert time.monotonic() - before < 4
    await silent.close()
    server.close()


async def test_callers_at_one_moment_share_one_ping_and_the_next_moment_asks_again(
    servers: Servers, database_name: str
) -> None:
    here = database(servers.database_url(database_name))
    await here.open()
    assert await asyncio.gather(*(here.alive() for _ in range(20))) == [True] * 20
    assert here.pool.get_size() == 1
    here.pool.terminate()
    assert await here.alive() is False


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
