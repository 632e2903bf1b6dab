"""Connections to Postgres: bounded, waited for only so long, and counted."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from shared.database import Database
from shared.telemetry import new_registry
from tests.world import World


@pytest.fixture
async def registry() -> object:
    return new_registry()


@pytest.fixture
async def narrow(world: World, registry: object) -> AsyncIterator[Database]:
    """Of one connection, for which work waits a fifth of a second."""
    settings = world.settings("scoring_rw", pool_size=1, acquire_timeout_seconds=0.2, statement_timeout_seconds=0.2)
    made = Database(settings, "scoring", registry=registry)  # type: ignore[arg-type]
    await made.open()
    yield made
    await made.close()


async def test_work_waits_for_a_connection_and_gives_up_in_time(narrow: Database, registry: object) -> None:
    sample = registry.get_sample_value  # type: ignore[attr-defined]
    async with narrow.pool.acquire():
        assert (sample("db_pool_connections", {"state": "used"}), sample("db_pool_wait_seconds_count")) == (1, 1)
        waiting = asyncio.ensure_future(narrow.pool.fetchval("select 1"))
        await asyncio.sleep(0)
        assert sample("db_pool_connections", {"state": "waiting"}) == 1
        with pytest.raises(TimeoutError):
            await waiting
    assert (sample("db_pool_timeouts_total"), sample("db_pool_connections", {"state": "waiting"})) == (1, 0)
    assert sample("db_pool_wait_seconds_sum") >= 0.2
    assert await narrow.pool.fetchval("select 1") == 1, "the connection is free again"


async def test_a_statement_ends_in_time_also_at_the_server(narrow: Database, world: World) -> None:
    with pytest.raises(TimeoutError):
        await narrow.pool.execute("select pg_sleep(60)")
    running = "select count(*) from pg_stat_activity where state = 'active' and query like '%pg_sleep(60)%'"
    assert await narrow.pool.fetchval(running) <= 1, "only this question itself"


async def test_postgres_sees_which_service_a_connection_is_of(narrow: Database, world: World) -> None:
    async with narrow.pool.acquire() as connection:
        pid = await connection.fetchval("select pg_backend_pid()")
        named = await world.owner.fetchval("select application_name from pg_stat_activity where pid = $1", pid)
    assert named == "precedent-scoring"


async def test_what_a_session_holds_is_held_where_sessions_are(world: World) -> None:
    """A pooler that takes no queries stands for one that keeps no session."""
    settings = world.settings(
        "scoring_rw", database_session_url=world.servers.database_url(world.database, "scoring_rw"),
        database_url="postgresql://nobody@127.0.0.1:1/none",
    )  # fmt: skip
    async with Database(settings, "scoring").session() as connection:
        assert isinstance(connection, asyncpg.Connection)
        assert await connection.fetchval("select current_user") == "scoring_rw"
