"""A schema as the code that runs on it uses it, read from the catalog: rows for every table, and statements on them.

The code of before a migration is not around, but all that it can say is: every column by its name, in the roles that
exist. `n` in an expression is the number of the row.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import asyncpg

SCHEMAS = ("control", "scoring", "patterns", "trainer")
ROWS = 200

TABLES = """
select c.oid, n.nspname as schema, c.oid::regclass::text as name, c.relkind::text as kind
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname = any($1) and c.relkind in ('r', 'v', 'm') and c.oid::regclass::text <> 'control.migrations' order by 1
"""
COLUMNS = """
select attname as name, format_type(atttypid, atttypmod) as type from pg_attribute
where attrelid = $1 and attnum > 0 and not attisdropped and attidentity = '' and attgenerated = '' order by attnum
"""
KEY = """
select array_agg(a.attname::text order by k.place) from pg_index i
cross join unnest(i.indkey::int[]) with ordinality as k(attnum, place)
join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum where i.indrelid = $1 and i.indisprimary
"""
REFERENCES = """
select a.attname as column, c.confrelid::regclass::text as table, b.attname as there from pg_constraint c
join pg_attribute a on a.attrelid = c.conrelid and a.attnum = c.conkey[1]
join pg_attribute b on b.attrelid = c.confrelid and b.attnum = c.confkey[1]
where c.conrelid = $1 and c.contype = 'f' and c.confrelid <> c.conrelid
"""
CHOICES = "select pg_get_constraintdef(oid) from pg_constraint where conrelid = $1 and contype = 'c'"
CHOICE = re.compile(r"\((\w+) = ANY \((ARRAY\['.+?\])\)")
FUNCTIONS = """
select p.oid::regprocedure::text as call, n.nspname as schema
from pg_proc p join pg_namespace n on n.oid = p.pronamespace
where n.nspname = any($1) and p.pronargs = 0 and p.prorettype <> 'trigger'::regtype order by 1
"""

VALUES = {
    "uuid": "md5('{place}' || n)::uuid",
    "text": "'{name} ' || n",
    "boolean": "n % 2 = 0",
    "integer": "n",
    "bigint": "n",
    "smallint": "1",
    "double precision": "0.5",
    "timestamp with time zone": "timestamptz '2026-01-01' + n * interval '1 minute'",
    "date": "date '2026-01-01' + n % 90",
    "jsonb": "jsonb_build_object('n', n)",
    "bytea": "sha256(('{place}' || n)::bytea)",
    "text[]": "array['a', 'b' || n]",
    "uuid[]": "array[md5('{place}' || n)::uuid]",
    "double precision[]": "array[n, 0.5]::float8[]",
    "halfvec(256)": "array(select ((n * i) % 7 + 1)::real from generate_series(1, 256) i)::halfvec(256)",
    "sparsevec(1000000000)": "('{{1:' || n || '}}/1000000000')::sparsevec",
}
# Where one column limits another.
FITTING = {
    "scoring.thresholds.auto_merge": "0.9",
    "scoring.thresholds.block": "0.1",
    "patterns.agent_collaborations.status": "'resolved'",
    "trainer.models.status": "'retired'",
}


@dataclass(frozen=True)
class Table:
    schema: str
    name: str
    kind: str
    columns: Mapping[str, str]  # and what is put there
    key: tuple[str, ...]

    def without(self, gone: Collection[str]) -> "Table":
        left = {name: value for name, value in self.columns.items() if name not in gone}
        return Table(self.schema, self.name, self.kind, left, self.key)

    @property
    def insert(self) -> str:
        """Rows from $1 to $2."""
        return (
            f"insert into {self.name} ({', '.join(self.columns)}) select {', '.join(self.columns.values())} "
            "from generate_series($1::int, $2::int) n"
        )

    @property
    def upsert(self) -> str:
        """As `insert`; what is there is written once more as it is."""
        column = list(self.columns)[-1]
        conflict = f" on conflict ({', '.join(self.key)}) do update set {column} = t.{column}" if self.key else ""
        return self.insert.replace(f"insert into {self.name} ", f"insert into {self.name} as t ") + conflict

    @property
    def read(self) -> str:
        return f"select {', '.join(self.columns)} from {self.name}"

    @property
    def known(self) -> tuple[str, ...]:
        return self.key or tuple(self.columns)


async def tables(owner: asyncpg.Connection) -> list[Table]:
    """In the order in which they may be filled; views among them."""
    found = [await _table(owner, row) for row in await owner.fetch(TABLES, list(SCHEMAS))]
    return [table for table in found if table.columns]


async def _table(owner: asyncpg.Connection, row: asyncpg.Record) -> Table:
    references = {r["column"]: f"{r['table']}.{r['there']}" for r in await owner.fetch(REFERENCES, row["oid"])}
    choices: dict[str, str] = {}
    for (definition,) in await owner.fetch(CHOICES, row["oid"]):
        choices |= dict(CHOICE.findall(definition))
    columns = {}
    for name, kind in await owner.fetch(COLUMNS, row["oid"]):
        place = f"{row['name']}.{name}"
        if place in FITTING:
            columns[name] = FITTING[place]
        elif name in references:
            columns[name] = VALUES[kind].format(place=references[name], name=name).replace("n)", f"(n % {ROWS} + 1))")
        elif name in choices:
            columns[name] = f"({choices[name]})[1 + n % array_length({choices[name]}, 1)]"
        else:
            columns[name] = VALUES[kind].format(place=place, name=name)
    key = tuple(await owner.fetchval(KEY, row["oid"]) or ())
    return Table(row["schema"], row["name"], row["kind"], columns, key if set(key) <= set(columns) else ())


async def fill(owner: asyncpg.Connection, found: Collection[Table]) -> None:
    for table in found:
        if table.kind == "r":
            await owner.execute(table.insert, 1, ROWS)


async def contents(owner: asyncpg.Connection, table: Table) -> dict[tuple[str, ...], dict[str, str]]:
    """Rows by their key, everything as text."""
    texts = ", ".join(f"{name}::text" for name in table.columns)
    rows = [dict(row) for row in await owner.fetch(f"select {texts} from {table.name}")]
    return {tuple(row[name] for name in table.known): row for row in rows}


async def functions(owner: asyncpg.Connection) -> list[tuple[str, str]]:
    """(schema, call) of those that a service may call without saying anything."""
    return [(row["schema"], f"select {row['call']}") for row in await owner.fetch(FUNCTIONS, list(SCHEMAS))]
