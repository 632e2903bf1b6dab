"""Forward-only migrations: `migrations/NNNN_{pre|post}_what.sql`, each once, in order, in its own transaction.

`pre` runs before the new code starts and must suit the old code too; `post` runs when the old code is gone.
"""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

import asyncpg

DIRECTORY = Path(__file__).parent / "migrations"
NAME = re.compile(r"^\d{4}_(pre|post)_[a-z0-9_]+\.sql$")
ROLES = ("gateway_ro", "scoring_rw", "patterns_rw", "trainer_rw", "control_rw")
LOCK_KEY = 0x5072_6563  # "Prec": one migration at a time per database
LOCK_TIMEOUT = "4s"

LEDGER = """
create schema if not exists control;
create table if not exists control.migrations (
  name text primary key, sha256 text not null, applied_at timestamptz not null default now())
"""


class MigrationError(RuntimeError):
    """A migration file is misnamed, or one that was applied has changed since."""


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


async def migrate(owner_url: str, directory: Path = DIRECTORY) -> list[str]:
    """Applies what is missing and returns its names. Runs as the owner of the database."""
    connection = await asyncpg.connect(owner_url)
    try:
        await connection.execute("select pg_advisory_lock($1)", LOCK_KEY)
        await connection.execute(LEDGER)
        applied = {r["name"]: r["sha256"] for r in await connection.fetch("select * from control.migrations")}
        todo = pending(applied, directory)
        for name, digest, sql in todo:
            async with connection.transaction():
                await connection.execute(f"set local lock_timeout = '{LOCK_TIMEOUT}'")
                await connection.execute(sql)
                await connection.execute("insert into control.migrations (name, sha256) values ($1, $2)", name, digest)
        return [name for name, _, _ in todo]
    finally:
        await connection.close()


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
