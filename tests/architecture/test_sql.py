"""Where SQL stands, and what may be written by whom: asked of the files, and of Postgres itself."""

import re
from collections.abc import AsyncIterator
from fnmatch import fnmatch
from pathlib import Path

import asyncpg
import pytest

from shared.migrate import DIRECTORY, NAME, ROLES
from tests.architecture.source import ROOMS, files, strings
from tests.servers import Servers

SQL = re.compile(
    r"\b(insert\s+into|delete\s+from|update\s+\S+\s+(\w+\s+)?set|create\s+(table|schema|role|database)"
    r"|alter\s+(role|table)|drop\s+(table|database)|refresh\s+materialized)\b|^\s*(with|select)\s.*\bfrom\b|^\s*select\b",
    re.I | re.S,
)
WRITES = re.compile(r"\b(insert\s+into|delete\s+from|update\s+\S+\s+(\w+\s+)?set|merge\s+into|truncate)\b", re.I)
# The data access of a service can be read in one sitting; these are the mechanism under it.
WHERE_SQL_STANDS = {
    "services/*/*store.py": "the data access of one writing service",
    "services/*/*queries.py": "the reads of the edge, and of what lies near a change",
    "shared/outbox.py": "inbox and outbox, the same in every worker's schema",
    "shared/migrate.py": "the ledger of migrations, and the passwords of the roles",
    "shared/database.py": "the ping",
    "shared/refreshing.py": "the turn and the ledger of a materialized view",
    "shared/lane.py": "the turn, which is an advisory lock",
    "shared/retention.py": "the turn of letting go",
    "cli/keys.py": "the one writer of the schema `control`",
    "deploy/local/postgres.py": "makes the database before there is a schema",
}

OWNERS = {"control": "control_rw", "patterns": "patterns_rw", "scoring": "scoring_rw", "trainer": "trainer_rw"}
READERS = {
    "control": {"control_rw", "gateway_ro"},
    "patterns": {"patterns_rw", "gateway_ro", "trainer_rw"},
    "scoring": {"scoring_rw", "gateway_ro", "trainer_rw"},
    "trainer": {"trainer_rw", "gateway_ro", "scoring_rw", "patterns_rw"},
}
# Written by whoever migrates, who owns everything; no service sees it.
OWNED = {"control.migrations"}

MIGRATIONS = sorted(DIRECTORY.iterdir())


def saying(pattern: re.Pattern[str], *rooms: str) -> set[str]:
    return {file for file in files(*rooms) if any(pattern.search(text) for text in strings(file))}


def test_sql_stands_in_store_and_queries_alone() -> None:
    found = saying(SQL, *ROOMS)
    assert {f for f in found if not any(fnmatch(f, place) for place in WHERE_SQL_STANDS)} == set()
    assert {p for p in WHERE_SQL_STANDS if not any(fnmatch(f, p) for f in found)} == set(), "a place without reason"


def test_the_gateway_writes_nothing() -> None:
    assert saying(WRITES, "services/gateway") == set()


@pytest.mark.parametrize("path", MIGRATIONS, ids=lambda p: p.name)
def test_a_migration_says_in_its_name_when_it_runs(path: Path) -> None:
    assert NAME.match(path.name)


def test_no_two_migrations_have_the_same_number() -> None:
    numbers = [path.name[:4] for path in MIGRATIONS]
    assert len(set(numbers)) == len(numbers)


@pytest.mark.parametrize("path", MIGRATIONS, ids=lambda p: p.name)
def test_a_migration_names_its_one_writer_and_touches_no_other_schema(path: Path) -> None:
    sql = path.read_text()
    head = re.match(r"-- Writer: (?:the owner|\w+ \(role (\w+)\))\.", sql)
    assert head, "the first line says `-- Writer: <service> (role <role>).` or `-- Writer: the owner.`"
    schemas = set(re.findall(r"(?:create table|alter table|insert into|view|update)\s+(\w+)\.\w+", sql))
    assert {OWNERS[schema] for schema in schemas} <= {head[1]}


@pytest.fixture
async def tables(servers: Servers, database: str) -> list[str]:
    connection = await asyncpg.connect(servers.database_url(database))
    rows = await connection.fetch(
        "select schemaname || '.' || tablename as name from pg_tables where schemaname = any($1)", list(OWNERS)
    )
    await connection.close()
    return [row["name"] for row in rows]


@pytest.fixture(params=ROLES)
async def role(
    request: pytest.FixtureRequest, servers: Servers, database: str
) -> AsyncIterator[tuple[str, asyncpg.Connection]]:
    """One of the roles, and a connection that was really opened with it."""
    connection = await asyncpg.connect(servers.database_url(database, request.param))
    yield request.param, connection
    await connection.close()


async def allowed(connection: asyncpg.Connection, statement: str) -> bool:
    """Whether Postgres lets this role do that; anything else that is wrong with the statement is not asked."""
    try:
        async with connection.transaction():
            await connection.execute(statement)
    except asyncpg.InsufficientPrivilegeError:
        return False
    except asyncpg.IntegrityConstraintViolationError:
        return True
    return True


async def test_every_table_is_written_by_its_own_role_alone(
    role: tuple[str, asyncpg.Connection], tables: list[str]
) -> None:
    name, connection = role
    for table in tables:
        mine = OWNERS[table.split(".")[0]] == name and table not in OWNED
        for statement in (f"insert into {table} default values", f"delete from {table} where false"):
            assert (statement, await allowed(connection, statement)) == (statement, mine)


async def test_every_schema_is_read_by_those_who_need_it_alone(
    role: tuple[str, asyncpg.Connection], tables: list[str]
) -> None:
    name, connection = role
    for table in tables:
        mine = name in READERS[table.split(".")[0]] and table not in OWNED
        assert (table, await allowed(connection, f"select from {table} limit 1")) == (table, mine)


async def test_no_role_of_a_service_makes_tables(role: tuple[str, asyncpg.Connection]) -> None:
    name, connection = role
    for schema in (*OWNERS, "public"):
        statement = f"create table {schema}.of_{name} (id integer)"
        assert (statement, await allowed(connection, statement)) == (statement, False)


async def test_the_gateways_role_writes_nothing_at_all(servers: Servers, database: str, tables: list[str]) -> None:
    connection = await asyncpg.connect(servers.database_url(database, "gateway_ro"))
    granted = await connection.fetch(
        "select t, p from unnest($1::text[]) t, unnest(array['insert', 'update', 'delete', 'truncate', 'trigger']) p "
        "where has_table_privilege(t, p)",
        tables,
    )
    await connection.close()
    assert granted == []
