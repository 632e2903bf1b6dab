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
from services.gateway.reads import Pages
from tests.architecture.source import files

STATEMENT = re.compile(r"\s*(with|select|insert|update|delete)\s", re.I)
ROWS = 1_000_000
SMALL = {"patterns.learning_domain_counts"}
LARGE = ({*LOADED} - SMALL) | {"patterns.learning_versions", "scoring.inbox", "patterns.inbox"}


def modules() -> list[ModuleType]:
    """Where SQL stands."""
    found = [name for name in files("services") if re.search(r"(queries|store)\.py$", name)]
    return [import_module(name.removesuffix(".py").replace("/", ".")) for name in found]


def statements(module: ModuleType) -> Iterator[tuple[str, str]]:
    """(name, text) of all that begins as a statement does, whether it is whole or a part of one."""
    tree = ast.parse(inspect.getsource(module))
    for node in tree.body:
        for name in [t.id for t in getattr(node, "targets", ()) if isinstance(t, ast.Name)]:
            value = getattr(module, name)
            yield from ((name, text) for text in texts(value) if STATEMENT.match(text))
    for part in tree.body:
        if isinstance(part, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            for node in ast.walk(part):
                if isinstance(node, ast.Constant) and isinstance(node.value, str) and STATEMENT.match(node.value):
                    yield f"line {node.lineno}", node.value


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


async def read_whole(owner: asyncpg.Connection, sql: str, arguments: Sequence[Any] | None = None) -> set[str]:
    """The large tables that are read from end to end: with these arguments, or, without, by a plan for any."""
    generic = ", generic_plan" if arguments is None else ""
    explain = await owner.prepare(f"explain (verbose, format json{generic}) {sql}")
    given = [None] * len(explain.get_parameters()) if arguments is None else arguments
    [plan] = json.loads(await explain.fetchval(*given))
    return {found for found in scans(plan["Plan"]) if found in LARGE}


def scans(plan: Mapping[str, Any]) -> Iterator[str]:
    if plan["Node Type"] == "Seq Scan":
        yield f"{plan.get('Schema', '')}.{plan['Relation Name']}"
    for part in plan.get("Plans", ()):
        yield from scans(part)
