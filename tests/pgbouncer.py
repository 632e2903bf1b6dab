"""A PgBouncer in transaction mode before the tests' Postgres."""

import asyncio
import os
import shutil
import subprocess
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg

from shared.migrate import ROLES
from tests.servers import Servers, free_port
from tests.world import eventually

# Debian keeps it where no user looks.
PGBOUNCER = os.environ.get("PRECEDENT_TEST_PGBOUNCER") or shutil.which("pgbouncer", path=os.defpath + ":/usr/sbin")
# The first that follows prepared statements from server to server.
PREPARES_FROM = (1, 21)

CONFIG = """
[databases]
* = host={host} port={port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {own_port}
unix_socket_dir =
auth_type = plain
auth_file = {users}
pool_mode = transaction
default_pool_size = 3
{more}
"""


def version(binary: str) -> tuple[int, int]:
    told = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True).stdout
    major, minor = told.split()[1].split(".")[:2]
    return int(major), int(minor)


@asynccontextmanager
async def pgbouncer(binary: str, servers: Servers, directory: Path, more: str = "") -> AsyncIterator[Servers]:
    """`servers`, with every role's way to Postgres through it. Few connections, so that clients must take turns."""
    place, own_port = urlsplit(servers.postgres_url), free_port()
    users, config = directory / "users.txt", directory / "pgbouncer.ini"
    users.write_text("".join(f'"{role}" "{servers.role_password}"\n' for role in ROLES))
    config.write_text(CONFIG.format(host=place.hostname, port=place.port, own_port=own_port, users=users, more=more))
    # It refuses to run as root.
    as_nobody = {"user": "nobody"} if os.geteuid() == 0 else {}
    process = await asyncio.create_subprocess_exec(binary, str(config), stdout=DEVNULL, stderr=DEVNULL, **as_nobody)
    through = Servers(
        servers.nats_url, servers.redis_url, f"postgresql://none@127.0.0.1:{own_port}/none", servers.role_password
    )
    try:
        await eventually(lambda: _answers(through.database_url("postgres", "gateway_ro")))
        yield through
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _answers(url: str) -> bool:
    try:
        connection = await asyncpg.connect(url, timeout=2)
    except (OSError, TimeoutError, asyncpg.PostgresError):
        return False
    await connection.close()
    return True
