"""Each migration, applied to a database with data in it while the code of before reads and writes everything."""

import asyncio
import re
import shutil
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from itertools import count
from pathlib import Path

import asyncpg
import pytest

from shared.migrate import DIRECTORY, LOCK_SECONDS, OUTSIDE, MigrationError, migrate
from tests.old_code import Table, contents, fill, functions, tables
from tests.servers import Servers
from tests.world import eventually

MIGRATIONS = sorted(path.name for path in DIRECTORY.iterdir())
ROLES = {"control": "control_rw", "scoring": "scoring_rw", "patterns": "patterns_rw", "trainer": "trainer_rw"}
# What a `post` migration takes away, which only code of before its `pre` has used.
REMOVED: dict[str, dict[str, set[str]]] = {
    "0031_post_pattern_places.sql": {"patterns.patterns": {"centroid", "paths", "path_terms"}},
}
# Made while nothing writes to the table, so for as long as that takes: nobody has had large tables by then.
INDEXED_UNDER_LOCK = {
    "0007_pre_learnings_and_collaborations.sql",
    "0008_pre_similarity.sql",
    "0010_pre_live_truth.sql",
    "0017_pre_pattern_pages.sql",
    "0024_pre_agent_stats.sql",
    "0040_pre_fix_pages.sql",
    "0041_pre_category_pages.sql",
    "0042_pre_learning_pages.sql",
    "0043_pre_collaboration_pages.sql",
}
# Takes a lock on a table that it holds a lesser one on, as a transaction does that reads and then writes it. One of the
# two is then told of a deadlock, and tried again: a migration by itself, a message by its delivery. Beside it the code
# goes on by single statements here, for a loop of such transactions would let it through by chance alone.
LOCKED_IN_STEPS = {"0008_pre_similarity.sql", "0030_pre_pattern_places.sql"}
# By triggers, as the code writes other tables: its rows do not stay what they were.
COUNTED = {"patterns.learning_domain_counts", "patterns.collaboration_summaries"}
NOBODY_IS_HELD_UP_LONGER = {"statement_timeout": str(1000 * LOCK_SECONDS)}


@asynccontextmanager
async def created(servers: Servers, database: str, template: str = "template0") -> AsyncIterator[str]:
    owner = await asyncpg.connect(servers.postgres_url)
    await owner.execute(f"create database {database} template {template}")
    yield database
    await owner.execute(f"drop database {database} with (force)")
    await owner.close()


@pytest.fixture
async def bare(servers: Servers) -> AsyncIterator[str]:
    """The name of a database without anything in it."""
    async with created(servers, "bare") as name:
        yield name


@pytest.fixture(scope="module")
async def growing(servers: Servers) -> AsyncIterator[str]:
    """The name of a database that gets one migration after the other, as the tests come to it."""
    async with created(servers, "growing") as name:
        yield name


@pytest.fixture(scope="module", params=MIGRATIONS)
def name(request: pytest.FixtureRequest) -> str:
    """Of a migration: all tests of one are run before those of the next."""
    return str(request.param)


@pytest.fixture
async def before(servers: Servers, growing: str, name: str, tmp_path: Path) -> AsyncIterator[str]:
    """The name of a database with the migrations that come before."""
    await migrate(servers.database_url(growing), those_in_front_of(MIGRATIONS.index(name), tmp_path))
    async with created(servers, "of_migrations", growing) as database:
        yield database


@pytest.fixture
async def owner(servers: Servers, before: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(servers.database_url(before))
    yield connection
    await connection.close()


def those_in_front_of(place: int, tmp_path: Path) -> Path:
    """A directory with so many migrations."""
    directory = tmp_path / str(place)
    directory.mkdir()
    for each in MIGRATIONS[:place]:
        shutil.copy(DIRECTORY / each, directory)
    return directory


def up_to(name: str, tmp_path: Path) -> Path:
    return those_in_front_of(MIGRATIONS.index(name) + 1, tmp_path)


class OldCode:
    """One writer and one reader a schema, each in its role, without a pause; `rounds` counts what they got done."""

    def __init__(
        self, servers: Servers, database: str, found: Collection[Table], calls: Collection[tuple[str, str]] = (),
        singly: bool = False,
    ) -> None:  # fmt: skip
        self._url = lambda role: servers.database_url(database, role)
        self._found, self._calls, self._singly = found, calls, singly
        self.rounds = dict.fromkeys((*ROLES.values(), "gateway_ro"), 0)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Raises what any of its statements has raised."""
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for schema, role in ROLES.items():
                group.create_task(self._run(role, schema, stop))
            group.create_task(self._run("gateway_ro", None, stop))
            await self.further()
            yield
            await self.further()
            stop.set()

    async def further(self) -> None:
        """Until each of them has gone through all of its statements once more."""
        seen = dict(self.rounds)

        async def check() -> bool:
            return all(self.rounds[role] > seen[role] + 1 for role in seen)

        await eventually(check, 30)

    async def _run(self, role: str, schema: str | None, stop: asyncio.Event) -> None:
        connection = await asyncpg.connect(self._url(role), server_settings=NOBODY_IS_HELD_UP_LONGER)
        mine = [table for table in self._found if schema in (table.schema, None)]
        for number in count(1000):
            for table in mine:
                await self._use(connection, table, number if schema else None)
            for where, call in self._calls:
                if where == schema:
                    await connection.execute(call)
            self.rounds[role] += 1
            await asyncio.sleep(0)
            if stop.is_set():
                break
        await connection.close()

    async def _use(self, connection: asyncpg.Connection, table: Table, number: int | None) -> None:
        if number is None or table.kind != "r":
            await connection.fetch(f"{table.read} limit 20")
        elif self._singly:
            with suppress(asyncpg.DeadlockDetectedError):
                await connection.execute(table.upsert, number, number)
        else:
            async with connection.transaction():
                await connection.fetch(f"{table.read} limit 5")
                await connection.execute(table.upsert, number, number)


def used_before(found: Collection[Table], removed: Mapping[str, set[str]]) -> list[Table]:
    return [table.without(removed.get(table.name, ())) for table in found]


async def test_the_code_of_before_goes_on_while_a_migration_is_applied(
    servers: Servers, before: str, owner: asyncpg.Connection, tmp_path: Path, name: str
) -> None:
    url = servers.database_url(before)
    found = await tables(owner)
    await fill(owner, found)
    kept = used_before(found, REMOVED.get(name, {}))
    data = {t.name: await contents(owner, t) for t in kept if t.kind == "r" and t.name not in COUNTED}
    singly = name in LOCKED_IN_STEPS
    async with OldCode(servers, before, kept, await functions(owner), singly).running():
        assert await migrate(url, up_to(name, tmp_path), attempts=5 if singly else 1) == [name]
    for table in kept:
        now = await contents(owner, table)
        changed = [row for key, row in data.get(table.name, {}).items() if now.get(key) != row]
        assert changed == [], f"{table.name}: rows that were there are not what they were"


async def test_a_migration_removes_only_what_is_named_here_and_only_after(
    servers: Servers, before: str, owner: asyncpg.Connection, tmp_path: Path, name: str
) -> None:
    url = servers.database_url(before)
    there = {table.name: set(table.columns) for table in await tables(owner)}
    await migrate(url, up_to(name, tmp_path))
    left = {table.name: set(table.columns) for table in await tables(owner)}
    gone = {table: lost for table, columns in there.items() if (lost := columns - left.get(table, set()))}
    assert gone == REMOVED.get(name, {})
    assert not gone or "_post_" in name


def test_an_index_on_a_table_that_was_there_is_made_concurrently(name: str) -> None:
    sql = (DIRECTORY / name).read_text()
    made = set(re.findall(r"create (?:table|materialized view) (\w+\.\w+)", sql))
    indexed = set(re.findall(r"create (?:unique )?index \w+\s+on (\w+\.\w+)", sql))
    assert bool(indexed - made) == (name in INDEXED_UNDER_LOCK), f"say `{OUTSIDE}` at its head, and `concurrently`"


async def test_what_runs_after_the_old_code_is_gone_waits_for_it(servers: Servers, bare: str) -> None:
    url = servers.database_url(bare)
    first = await migrate(url, phases=("pre",))
    assert first == [name for name in MIGRATIONS if "_pre_" in name]
    assert await migrate(url) == [name for name in MIGRATIONS if "_post_" in name]


async def test_a_migration_that_is_kept_waiting_gives_up_and_says_why_and_succeeds_later(
    servers: Servers, database: str, tmp_path: Path
) -> None:
    url = servers.database_url(database)
    (tmp_path / "9000_pre_note.sql").write_text("alter table scoring.thresholds add column note text;")
    holder = await asyncpg.connect(url)
    reader = await asyncpg.connect(url)
    async with holder.transaction():
        await holder.fetch("select * from scoring.thresholds")
        blocked = asyncio.create_task(migrate(url, tmp_path, attempts=1))
        await asyncio.sleep(0.5)
        # Queues up behind it, and no longer than it waits.
        await reader.fetch("select * from scoring.thresholds", timeout=LOCK_SECONDS + 2)
        with pytest.raises(MigrationError, match=r"9000_pre_note.sql: others hold a lock that it needs"):
            await blocked
    assert await migrate(url, tmp_path) == ["9000_pre_note.sql"]
    await holder.close()
    await reader.close()


INDEX = f"-- Writer: scoring (role scoring_rw).\n{OUTSIDE}\ncreate index concurrently if not exists of_title\n" + (
    "  on scoring.agent_auto_fixes (title);\n"
)
VALID = "select indisvalid from pg_index where indexrelid = to_regclass('scoring.of_title')"


@pytest.fixture
async def connection(servers: Servers, database: str) -> AsyncIterator[asyncpg.Connection]:
    opened = await asyncpg.connect(servers.database_url(database))
    yield opened
    await opened.close()


async def test_an_index_is_made_while_everybody_writes_and_by_one_of_two_who_try(
    servers: Servers, database: str, connection: asyncpg.Connection, tmp_path: Path
) -> None:
    url = servers.database_url(database)
    (tmp_path / "9000_pre_index.sql").write_text(INDEX)
    found = [table for table in await tables(connection) if table.name == "scoring.agent_auto_fixes"]
    await fill(connection, found)
    turn = await asyncpg.connect(url)
    await turn.execute("begin; select pg_advisory_xact_lock(1)")  # as a lane, for as long as it lives
    async with OldCode(servers, database, found).running():
        applied = await asyncio.gather(migrate(url, tmp_path), migrate(url, tmp_path))
    assert sorted(applied) == [[], ["9000_pre_index.sql"]]
    assert await connection.fetchval(VALID)
    await turn.close()


async def test_an_index_whose_making_was_cut_off_is_made_anew(
    servers: Servers, database: str, connection: asyncpg.Connection, tmp_path: Path
) -> None:
    url = servers.database_url(database)
    (tmp_path / "9000_pre_index.sql").write_text(INDEX)
    reader = await asyncpg.connect(url)
    async with reader.transaction(isolation="repeatable_read"):
        await reader.fetch("select 1")
        cut_off = asyncio.create_task(migrate(url, tmp_path))

        async def begun() -> bool:
            return await connection.fetchval(VALID) is False

        await eventually(begun)
        cut_off.cancel()
        await asyncio.gather(cut_off, return_exceptions=True)
    assert await connection.fetchval(VALID) is False
    assert await migrate(url, tmp_path) == ["9000_pre_index.sql"]
    assert await connection.fetchval(VALID) is True
    await reader.close()


async def test_what_cannot_be_run_twice_is_not_run_outside_a_transaction(
    servers: Servers, database: str, tmp_path: Path
) -> None:
    (tmp_path / "9000_pre_two.sql").write_text(f"{OUTSIDE}\nupdate scoring.thresholds set block = 0.5;")
    with pytest.raises(MigrationError, match=r"9000_pre_two.sql: outside a transaction indexes come and go"):
        await migrate(servers.database_url(database), tmp_path)
