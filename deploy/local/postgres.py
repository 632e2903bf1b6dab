"""Postgres as its wheel carries it: on loopback, behind a generated password, fsync on."""

import os
import re
import shutil
import signal
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import asyncpg

from deploy.local.errors import PlatformError
from deploy.local.home import LOOPBACK
from deploy.local.process import Proc
from deploy.local.servers import SERVER_ENV, USER, Server
from deploy.local.unprivileged import run_quietly, settle, user_for_postgres

DATABASE = "precedent"
SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "80",  # five processes with pools of eight, the command line, and room
    "shared_buffers": "64MB",
    "max_wal_size": "512MB",
    "jit": "off",  # our statements are short
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "",
    "log_checkpoints": "off",
}
NOISE = re.compile(
    r"^LOG:  (starting|listening|received|aborting|shutting|background worker)"
    r"|^LOG:  database system (was shut|is (ready|shut))"
    r"|^FATAL:  the database system is (starting up|not yet accepting)|^DETAIL:  Consistent recovery"  # to our probe
)
# What a plain `kill` asks for: it takes no new client, and waits for those that it has, which never leave.
SMART_SHUTDOWN = re.compile(r"received smart shutdown request")


def postgres(directory: Path, port: int, password: str, settings: Mapping[str, str] | None = None) -> Server:
    """Makes the database cluster if `directory` holds none yet. `settings` go on top of ours.

    The caller holds the home's lock: no server of an earlier run is alive.
    """
    user = user_for_postgres()
    programs, base = settle(directory, user)
    data = base / "data"
    if not data.exists():
        _make_cluster(programs, data, password, user)
    # A pid in there may by now be another process of ours (a restarted container counts from 1 again).
    (data / "postmaster.pid").unlink(missing_ok=True)
    options = {"port": str(port)} | SETTINGS | dict(settings or {})
    return Server(
        Proc(
            name="postgres",
            argv=[programs / "postgres", "-D", data, *(f"--{name}={value}" for name, value in options.items())],
            env=SERVER_ENV,
            ready=_has_database(port, password, base),
            stop=signal.SIGINT,  # fast shutdown: SIGTERM would wait for every client to leave
            death=signal.SIGINT,
            force=signal.SIGQUIT,  # killed, it would leave its shared memory to the machine
            as_user=user,
            hide=NOISE,
            stuck=SMART_SHUTDOWN,
            relapses=False,
        ),
        url=f"postgresql://{USER}:{password}@{LOOPBACK}:{port}/{DATABASE}",
        data=base,
    )


def _make_cluster(programs: Path, data: Path, password: str, user: Mapping[str, Any]) -> None:
    """Under another name first: a half-made cluster is never taken for a whole one."""
    draft, secret = data.with_name("data.new"), data.with_name("password")
    shutil.rmtree(draft, ignore_errors=True)
    secret.unlink(missing_ok=True)
    draft.mkdir(0o700)
    secret.touch(0o600)
    if user:
        os.chown(draft, user["user"], user["group"])
        os.chown(secret, user["user"], user["group"])
    try:
        secret.write_text(password)
        done = run_quietly([programs / "initdb", "-D", draft, *INITDB, f"--pwfile={secret}"], user)
    finally:
        secret.unlink()
    if done.returncode:
        shutil.rmtree(draft, ignore_errors=True)
        raise PlatformError(f"Postgres could not make its database in {data}: {reason_of(done.stdout)}")
    draft.rename(data)


def reason_of(output: bytes) -> str:
    """What the server itself complains of, else its last words: what it says at the very end is that it tidies up."""
    lines = [line.strip() for line in output.decode(errors="replace").splitlines() if line.strip()]
    complaint = next((found[0] for line in lines if (found := COMPLAINT.search(line))), None)
    return complaint or "; ".join(lines[-3:]) or "no word"


COMPLAINT = re.compile(r"(error|FATAL|PANIC): .*")
INITDB = (
    f"--username={USER}",
    "--auth=scram-sha-256",
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",  # the same order of text on every machine
    "--builtin-locale=C.UTF-8",
    "--no-instructions",
)


def _has_database(port: int, password: str, base: Path) -> Callable[[], Awaitable[bool]]:
    async def ready() -> bool:
        try:
            connection = await asyncpg.connect(
                host=LOOPBACK, port=port, user=USER, password=password, database="postgres", ssl=False, timeout=5
            )
        except asyncpg.InvalidPasswordError:
            raise PlatformError(
                f"secrets.json no longer holds the password that the database in {base} was made with: "
                "put it back, or remove that directory to begin with an empty one"
            ) from None
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return False
        try:
            if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE):
                await connection.execute(f"CREATE DATABASE {DATABASE}")
        finally:
            await connection.close()
        return True

    return ready
