"""No query of a service reads a large table from end to end: asked of the planner, for every text of SQL there is."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from itertools import product
from types import ModuleType
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import asyncpg
import pytest
from asyncpg.connection import LoggedQuery

from benchmarks.seed_large import fill
from services.gateway.page_queries import Keyset, Pages
from services.gateway.served import COLLABORATIONS, FIXES, LEARNINGS
from services.patterns.queries import NEAR
from services.patterns.vectors import speak_vectors
from shared.database import Database, speak_json
from tests.api.matrix_state import prepared, successes
from tests.matrix import operations
from tests.plans import claim_large, lists, modules, parts, read_whole, read_whole_by_any, statements
from tests.servers import Servers
from tests.world import Api, empty_world, fresh_database

ROWS = 2_000
MODULES = modules()
# What is read whole on purpose.
WHOLE = {"TRAINABLE": "a fit learns from every fix that is settled"}
SERVED = {"FIX_PAGES": FIXES, "LEARNING_PAGES": LEARNINGS, "COLLABORATION_PAGES": COLLABORATIONS}
VALUES: dict[str, Any] = {
    "agent_id": "agent-1", "repository": "owner/name-1", "status": "failed", "category": "security",
    "domain": "domain-1", "q": "fix:*", "pattern_id": UUID(int=1), "collaboration_type": "review",
}  # fmt: skip


class Asked(NamedTuple):
    """What the services asked while the API was used, each text with its last arguments."""

    owner: asyncpg.Connection
    queries: dict[str, tuple[Any, ...]]


@pytest.fixture(scope="module")
async def asked(servers: Servers) -> AsyncIterator[Asked]:
    """Of a small database that the planner takes for a large one."""
    queries: dict[str, tuple[Any, ...]] = {}
    prepare = Database._prepare

    async def listened(database: Database, connection: Any) -> None:
        await prepare(database, connection)
        connection.add_query_logger(lambda said: queries.update({said.query: arguments_of(said)}))

    async with AsyncExitStack() as stack:
        name = await stack.enter_async_context(fresh_database(servers))
        await fill(servers.database_url(name), ROWS)
        world = await stack.enter_async_context(empty_world(servers, name))
        await claim_large(world.owner)
        await speak_json(world.owner)
        await speak_vectors(world.owner)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Database, "_prepare", listened)
            await world.start("scoring", "patterns")
            await used(await world.gateway())
        yield Asked(world.owner, dict(queries))


def arguments_of(said: LoggedQuery) -> tuple[Any, ...]:
    """Of many at once the first."""
    return tuple(said.args[0] if isinstance(said.args, list) else said.args or ())


async def used(api: Api) -> None:
    """Everything is called once."""
    for name in ("owner", "reporter"):
        api.keys[name] = await api.world.key(name)
    known = await prepared(api)
    await successes(api, known, operations())
    await api.post(f"/v1/fixes/{known['fix_id']}/outcome", {"kind": "reverted"}, as_="reporter")
    await api.until(f"/v1/fixes/{known['fix_id']}", "status", "failed")


async def test_what_the_services_ask_while_they_work_reads_no_large_table_whole(asked: Asked) -> None:
    found = {sql: await read_whole(asked.owner, sql, args) for sql, args in asked.queries.items() if explained(sql)}
    assert {sql: tables for sql, tables in found.items() if tables} == {}


def explained(sql: str) -> bool:
    return re.match(r"\s*(with|select|insert|update|delete)\s", sql, re.I) is not None


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
async def test_no_text_of_sql_reads_a_large_table_whole(asked: Asked, module: ModuleType) -> None:
    """Except as a part of one that was asked, and is looked at there; as is whatever is no whole statement."""
    seen = [plain(sql) for sql in asked.queries]
    for name, text in statements(module):
        try:
            found: object = await read_whole_by_any(asked.owner, text)
        except asyncpg.PostgresError as error:
            found = error
        inside = re.compile(re.sub(r"\\\{\w*\\\}", ".*", re.escape(plain(text))))
        part = any(inside.search(sql) and sql != plain(text) for sql in seen)
        assert not found or name in WHOLE or part, f"{name}: {found!r}: {text}"


def plain(sql: str) -> str:
    return " ".join(sql.split())


def pages() -> list[tuple[str, Pages, dict[str, Any]]]:
    """Each list with each combination of filters that it serves."""
    found = []
    for name, made in [each for module in MODULES for each in lists(module)]:
        combinations = SERVED[name].combinations if name in SERVED else ()
        found += [(name, made, {f: VALUES[f] for f in sorted(c)}) for c in (frozenset[str](), *combinations)]
    return found


@pytest.mark.parametrize(("name", "made", "wanted"), [pytest.param(*p, id=f"{p[0]}-{'+'.join(p[2])}") for p in pages()])
async def test_no_page_that_is_served_reads_a_large_table_whole(
    asked: Asked, name: str, made: Pages, wanted: dict[str, Any]
) -> None:
    for after, limit in product((None, await last_of(asked)), (2, 101, 201)):
        sql, arguments = made.query(wanted, after)
        assert await read_whole(asked.owner, sql, [*arguments, limit]) == set(), (name, sql)


async def test_the_newest_fixes_of_a_repository_come_by_an_index_however_few_there_are_on_average(
    servers: Servers,
) -> None:
    """Those of one that has thousands would else be sorted anew for every fix."""
    async with fresh_database(servers) as name:
        owner = await asyncpg.connect(servers.database_url(name))
        await owner.execute(
            "insert into patterns.fix_patterns (fix_id, agent_id, repository, submitted_at, category, title) "
            "select gen_random_uuid(), 'agent', 'owner/name-' || i % 50, now() - i * interval '1 hour', 'bug-fix', "
            "repeat('x', 700) from generate_series(1, 10000) i"
        )
        await owner.execute("analyze patterns.fix_patterns")
        await owner.close()
        patterns = await asyncpg.connect(servers.database_url(name, "patterns_rw"))
        await patterns.execute(f"prepare probe as {NEAR}")
        explained = await patterns.fetchval(f"explain (format json) execute probe({', '.join(['null'] * 7)})")
        await patterns.close()
    [plan] = json.loads(explained)
    found = {
        (part["Node Type"], part.get("Index Name"))
        for part in parts(plan["Plan"])
        if part.get("Relation Name") == "fix_patterns" and part.get("Alias") != "k"
    }
    assert found == {("Index Scan", "fix_patterns_repository"), ("Index Scan", "fix_patterns_place")}


async def last_of(asked: Asked) -> Keyset:
    return Keyset(await asked.owner.fetchval("select now() - interval '300 days'"), uuid4())
