"""How Postgres would run what the services ask of it, were their tables large."""

import ast
import inspect
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from types import ModuleType
from typing import Any

import asyncpg

from benchmarks.seed_large import LOADED
from services.gateway.page_queries import Pages
from tests.architecture.source import files

STATEMENT = re.compile(r"\s*(with|select|insert|update|delete)\s", re.I)
ROWS = 1_000_000
SMALL = {"patterns.learning_domain_counts"}
LARGE = {*LOADED} - SMALL


def modules() -> list[ModuleType]:
    """Where SQL stands."""
    found = [name for name in files("services") if re.search(r"(queries|store)\.py$", name)]
    return [import_module(name.removesuffix(".py").replace("/", ".")) for name in found]


def statements(module: ModuleType) -> Iterator[tuple[str, str]]:
    """(name, text) of all that begins as a statement does, whether it is whole or a part of one."""
    body = ast.parse(inspect.getsource(module)).body
    names = [target.id for node in body for target in getattr(node, "targets", ()) if isinstance(target, ast.Name)]
    found = [(name, text) for name in names for text in texts(getattr(module, name))]
    found += [said for node in body if not isinstance(node, ast.Assign) for said in inline(node)]
    yield from (each for each in found if STATEMENT.match(each[1]))


def inline(node: ast.AST) -> Iterator[tuple[str, str]]:
    """Every text in the code of a class or function, without docstrings."""
    told = {id(each.value) for each in ast.walk(node) if isinstance(each, ast.Expr)}
    for each in ast.walk(node):
        if isinstance(each, ast.Constant) and isinstance(each.value, str) and id(each) not in told:
            yield f"line {each.lineno}", each.value


def texts(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [v for v in value.values() if isinstance(v, str)] if isinstance(value, Mapping) else []


def lists(module: ModuleType) -> Iterator[tuple[str, Pages]]:
    yield from ((name, value) for name, value in vars(module).items() if isinstance(value, Pages))


async def claim_large(owner: asyncpg.Connection) -> None:
    """The planner takes the rows a page from here, and the number of pages from the file."""
    tables = sorted(LARGE)
    for table in tables:
        await owner.execute(f"alter table {table} set (autovacuum_enabled = false)")
    await owner.execute(
        "update pg_class set reltuples = $2 where oid = any($1::text[]::regclass[]) "
        "or oid in (select indexrelid from pg_index where indrelid = any($1::text[]::regclass[]) and indpred is null)",
        tables,
        ROWS,
    )


async def read_whole(owner: asyncpg.Connection, sql: str, arguments: Sequence[Any]) -> set[str]:
    """The large tables that are read from end to end with these arguments."""
    return _whole(await owner.fetchval(f"explain (verbose, format json) {sql}", *arguments))


async def read_whole_by_any(owner: asyncpg.Connection, sql: str) -> set[str]:
    """By the plan that suits whatever the arguments are. Raises `PostgresError` for what is no whole statement."""
    await owner.execute(f"set plan_cache_mode = force_generic_plan; prepare probe as {sql}")
    try:
        count = await owner.fetchval(
            "select cardinality(parameter_types) from pg_prepared_statements where name = 'probe'"
        )
        given = f"({', '.join(['null'] * count)})" if count else ""
        return _whole(await owner.fetchval(f"explain (verbose, format json) execute probe{given}"))
    finally:
        await owner.execute("deallocate probe; reset plan_cache_mode")


def _whole(explained: str) -> set[str]:
    [plan] = json.loads(explained)
    read = [part for part in parts(plan["Plan"]) if part["Node Type"] == "Seq Scan"]
    return {f"{part.get('Schema', '')}.{part['Relation Name']}" for part in read} & LARGE


def parts(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The plan and all below it."""
    yield plan
    for part in plan.get("Plans", ()):
        yield from parts(part)
