"""The one-shot before the services start: migrations, roles' passwords, streams and buckets, and the first keys."""

import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from nats.js import JetStreamContext
from nats.js.errors import APIError

from cli.keys import create_key
from deploy.local.home import write_private
from deploy.local.reaching import nats_connection, reaching
from shared.keys import SCOPES, Scope, well_formed
from shared.migrate import PHASES, ROLES, MigrationError, migrate, set_passwords
from shared.settings import SettingsError
from shared.topology import GIB, declare

# Seven days of fixes with their diffs.
DEFAULT_LOG_GIB = "4"
# JetStream's own code for limits that go beyond the disk.
NO_ROOM = 10047
FIRST_KEYS: tuple[tuple[str, str, tuple[Scope, ...]], ...] = (
    ("api-key", "owner", SCOPES),
    ("reporter-key", "reporter", ("read", "report")),
)


async def prepare(environ: Mapping[str, str]) -> None:
    """Safe to repeat: what is there stays."""
    database_url, nats_url = environ["PRECEDENT_DATABASE_URL"], environ["PRECEDENT_NATS_URL"]
    passwords = {role: environ[name] for role in ROLES if (name := f"PRECEDENT_PASSWORD_{role.upper()}") in environ}
    with reaching("PRECEDENT_DATABASE_URL", database_url):
        applied = await migrate(database_url, phases=phases(environ))
        await set_passwords(database_url, passwords)
    print(f"migrations: {len(applied)} applied" if applied else "migrations: nothing to apply", flush=True)
    with reaching("PRECEDENT_NATS_URL", nats_url):
        connection = await nats_connection(nats_url)
        await declare_log(connection.jetstream(), environ.get("PRECEDENT_LOG_GIB") or DEFAULT_LOG_GIB)
        await connection.close()
    await first_keys(database_url, Path(environ["PRECEDENT_HOME"]))


async def declare_log(js: JetStreamContext, log_gib: str) -> None:
    """Raises `SettingsError` when the disk has not the room that the log sets aside."""
    try:
        log_bytes = int(float(log_gib) * GIB)
    except (ValueError, OverflowError):
        raise SettingsError(f"PRECEDENT_LOG_GIB is {log_gib!r}, but has to be a number") from None
    try:
        await declare(js, log_bytes)
    except APIError as error:
        if error.err_code != NO_ROOM:
            raise
        problem = f"the log is to take {log_gib} GiB, and NATS has less: make room, or lower PRECEDENT_LOG_GIB"
        raise SettingsError(problem) from error


def phases(environ: Mapping[str, str]) -> Sequence[str]:
    """`PRECEDENT_MIGRATIONS=pre` while code of before still runs; what is left is applied the next time without it."""
    wanted = environ.get("PRECEDENT_MIGRATIONS") or "all"
    if wanted not in ("pre", "all"):
        raise SettingsError(f"PRECEDENT_MIGRATIONS is {wanted!r}, but has to be pre or all")
    return PHASES if wanted == "all" else ("pre",)


async def first_keys(database_url: str, home: Path) -> None:
    """Two principals, so that outcomes can be reported by someone who did not submit the fix."""
    for name, principal, scopes in FIRST_KEYS:
        path = home / name
        if not holds_key(path):
            text = await create_key(database_url, principal=principal, scopes=scopes, agents=["*"])
            write_private(path, text + "\n")


def holds_key(path: Path) -> bool:
    """What a full disk or an editor left there is none, and is worth no more than no file."""
    try:
        return well_formed(path.read_text(errors="replace").strip())
    except FileNotFoundError:
        return False


if __name__ == "__main__":
    try:
        asyncio.run(prepare(os.environ))
    except (SettingsError, MigrationError) as error:
        sys.exit(str(error))
