"""Forward-only migrations: `migrations/NNNN_{pre|post}_what.sql`, each once, in order, in its own transaction.

`pre` runs before the new code starts and must suit the old code too; `post` runs when the old code is gone. Whoever
waits for a lock has everybody queue up behind, so a migration gives up soon, and tries again.
"""

import asyncio
import hashlib
import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import asyncpg

DIRECTORY = Path(__file__).parent / "migrations"
NAME = re.compile(r"^\d{4}_(pre|post)_[a-z0-9_]+\.sql$")
ROLES = ("gateway_ro", "scoring_rw", "patterns_rw", "trainer_rw", "control_rw")
PHASES = ("pre", "post")
LOCK_KEY = 0x5072_6563  # "Prec": one migration at a time per database
TURN_SECONDS = 0.2
LOCK_SECONDS = 4
ATTEMPTS = 5
PAUSE_SECONDS = 2.0
# In a file's head: its statements, a line or more each, are run one by one, and block nobody while they wait. It is for
# `create index concurrently if not exists` on tables that are large: what was cut off is begun anew.
OUTSIDE = "-- Outside a transaction."
OUTSIDE_LOCK_SECONDS = 600
OUTSIDE_STATEMENT = re.compile(r"(create (unique )?index concurrently if not|drop index concurrently if) exists ")

LEDGER = """
create schema if not exists control;
create table if not exists control.migrations (
  name text primary key, sha256 text not null, applied_at timestamptz not null default now())
"""
APPLIED = "insert into control.migrations (name, sha256) values ($1, $2)"
# Left by `create index concurrently` that was cut off: written with every row, and read by no query.
INVALID = """
select indexrelid::regclass::text as name from pg_index where not indisvalid
and indrelid in (select oid from pg_class where relnamespace in (
  select oid from pg_namespace where nspname in ('scoring', 'patterns', 'trainer', 'control')))
"""

log = logging.getLogger(__name__)


class MigrationError(RuntimeError):
    """A file is misnamed, holds what it may not or has changed since it was applied; or a lock was not to be had."""


def pending(applied: Mapping[str, str], directory: Path = DIRECTORY) -> list[tuple[str, str, str]]:
    """(name, sha256, sql) of what is still to apply."""
    todo = []
    for path in sorted(directory.glob("*.sql")):
        if not NAME.match(path.name):
            raise MigrationError(f"{path.name}: a migration is named NNNN_pre_what.sql or NNNN_post_what.sql")
        sql = path.read_text()
        digest = hashlib.sha256(sql.encode()).hexdigest()
        if path.name not in applied:
            todo.append((path.name, digest, sql))
        elif applied[path.name] != digest:
            raise MigrationError(f"{path.name}: changed after it was applied; write a new migration instead")
    return todo


async def migrate(
    owner_url: str, directory: Path = DIRECTORY, phases: Sequence[str] = PHASES, attempts: int = ATTEMPTS
) -> list[str]:
    """Applies what is missing of `phases` and returns its names. Runs as the owner of the database.

    Raises `MigrationError` where others hold what a migration needs through all `attempts`; run it again.
    """
    connection = await asyncpg.connect(owner_url)
    try:
        # Asked for, not waited for: whoever waits has a snapshot, and an index that is made concurrently waits for it.
        while not await connection.fetchval("select pg_try_advisory_lock($1)", LOCK_KEY):  # noqa: ASYNC110
            await asyncio.sleep(TURN_SECONDS)
        await connection.execute(LEDGER)
        applied = {r["name"]: r["sha256"] for r in await connection.fetch("select * from control.migrations")}
        todo = [found for found in pending(applied, directory) if phase(found[0]) in phases]
        for name, digest, sql in todo:
            await _patiently(connection, name, digest, sql, attempts)
        return [name for name, _, _ in todo]
    finally:
        await connection.close()


def phase(name: str) -> str:
    return name.split("_")[1]


async def _patiently(connection: asyncpg.Connection, name: str, digest: str, sql: str, attempts: int) -> None:
    for attempt in range(1, attempts + 1):
        try:
            await _apply(connection, name, digest, sql)
            return
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError) as error:
            problem = f"{name}: others hold a lock that it needs; nothing of it was applied, run it again ({error})"
            if attempt == attempts:
                raise MigrationError(problem) from error
            log.warning("%s", problem)
            await asyncio.sleep(PAUSE_SECONDS)


async def _apply(connection: asyncpg.Connection, name: str, digest: str, sql: str) -> None:
    if OUTSIDE in sql.splitlines():
        await _apply_outside(connection, statements(name, sql))
        await connection.execute(APPLIED, name, digest)
        return
    async with connection.transaction():
        await connection.execute(f"set local lock_timeout = '{LOCK_SECONDS}s'")
        await connection.execute(sql)
        await connection.execute(APPLIED, name, digest)


async def _apply_outside(connection: asyncpg.Connection, wanted: Sequence[str]) -> None:
    await connection.execute(f"set lock_timeout = '{OUTSIDE_LOCK_SECONDS}s'")
    try:
        for row in await connection.fetch(INVALID):
            await connection.execute(f"drop index concurrently {row['name']}")
        for statement in wanted:
            await connection.execute(statement)
    finally:
        await connection.execute("reset lock_timeout")


def statements(name: str, sql: str) -> list[str]:
    """Those of a file that is run outside a transaction: what may be run twice, for it may be cut off in between."""
    lines = [line for line in sql.splitlines() if not line.startswith("--")]
    found = [text.strip() for text in "\n".join(lines).split(";") if text.strip()]
    if wrong := [text for text in found if not OUTSIDE_STATEMENT.match(text)]:
        raise MigrationError(f"{name}: outside a transaction indexes come and go concurrently, no {wrong[0]!r}")
    return found


async def set_passwords(owner_url: str, passwords: Mapping[str, str]) -> None:
    """Lets each role of `passwords` log in. A role's name is one of `ROLES`."""
    connection = await asyncpg.connect(owner_url)
    try:
        for role, password in passwords.items():
            if role not in ROLES:
                raise MigrationError(f"{role}: not a role of this system")
            quoted = await connection.fetchval("select quote_literal($1::text)", password)
            await connection.execute(f"alter role {role} login password {quoted}")
    finally:
        await connection.close()
