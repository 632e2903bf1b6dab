"""The real servers that the tests talk to: the wheels' own, or containers (`PRECEDENT_TEST_BACKEND=containers`)."""

import os
import secrets
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from deploy.local.postgres import postgres
from deploy.local.process import Child, until_ready
from deploy.local.servers import nats, valkey
from shared.migrate import ROLES, migrate, set_passwords

MEMORY, ROOM_BYTES = Path("/dev/shm"), 6 << 30  # noqa: S108
PREFIX = "precedent-test-"
TEMPLATE = "precedent_template"
# For tests only: the database of a test may be lost with the machine. JetStream keeps syncing each write.
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


@dataclass(frozen=True)
class Servers:
    nats_url: str
    redis_url: str
    postgres_url: str  # of the owner, any database
    role_password: str

    def database_url(self, database: str, role: str | None = None) -> str:
        base = self.postgres_url.rsplit("/", 1)[0]
        if role is None:
            return f"{base}/{database}"
        return f"postgresql://{role}:{self.role_password}@{base.rsplit('@', 1)[1]}/{database}"


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port: int = s.getsockname()[1]
        return port


def reachable_directory() -> tempfile.TemporaryDirectory[str]:
    """As root, Postgres runs as nobody: a directory that everybody may pass through spares it a move.

    In memory where there is room: a test's database is 300 files, which some disks take longer for than all the rest.
    """
    for left in MEMORY.glob(f"{PREFIX}*"):
        pid = left.name.removeprefix(PREFIX).partition("-")[0]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():  # killed before it could remove it
            shutil.rmtree(left, ignore_errors=True)
    roomy = os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ROOM_BYTES
    made = tempfile.TemporaryDirectory(prefix=f"{PREFIX}{os.getpid()}-", dir=MEMORY if roomy else None)
    Path(made.name).chmod(0o711)
    return made


@asynccontextmanager
async def running(directory: Path) -> AsyncIterator[dict[str, tuple[str, Child]]]:
    """The wheels' servers by name: URL and process. They die with this process, whatever kills it."""
    password = secrets.token_hex(8)
    for name in ("nats", "valkey"):
        (directory / name).mkdir()
    servers = [
        nats(directory / "nats", free_port(), free_port(), password),
        valkey(directory / "valkey", free_port(), password),
        postgres(directory / "postgres", free_port(), password, FAST),
    ]
    alive, other = os.pipe()
    children = [Child(server.proc, lambda *_: None, alive) for server in servers]
    try:
        for child in children:
            await child.spawn()
        for child in children:
            await until_ready(child)
        yield {server.proc.name: (server.url, child) for server, child in zip(servers, children, strict=True)}
    finally:
        for child in reversed(children):
            await child.stop()
        os.close(alive)
        os.close(other)


@asynccontextmanager
async def wheels(directory: Path) -> AsyncIterator[tuple[str, str, str]]:
    """(nats, redis, postgres) URLs."""
    async with running(directory) as found:
        yield found["nats"][0], found["valkey"][0], found["postgres"][0]


@asynccontextmanager
async def containers(directory: Path) -> AsyncIterator[tuple[str, str, str]]:
    """The same three servers from images; the images can be named by the environment."""
    from testcontainers.core.container import DockerContainer
    from testcontainers.core.wait_strategies import LogMessageWaitStrategy

    config = directory / "nats.conf"
    config.write_text("port: 4222\nmax_payload: 8MB\njetstream { store_dir: /data, sync_interval: always }\n")
    images = {
        "nats": os.environ.get("PRECEDENT_TEST_NATS_IMAGE", "nats:2.12"),
        "valkey": os.environ.get("PRECEDENT_TEST_REDIS_IMAGE", "valkey/valkey:9"),
        "postgres": os.environ.get("PRECEDENT_TEST_POSTGRES_IMAGE", "pgvector/pgvector:pg18"),
    }
    bus = DockerContainer(images["nats"]).with_command("-c /nats.conf").with_exposed_ports(4222)
    bus.with_volume_mapping(str(config), "/nats.conf", "ro").waiting_for(LogMessageWaitStrategy("Server is ready"))
    cache = DockerContainer(images["valkey"]).with_exposed_ports(6379)
    cache.waiting_for(LogMessageWaitStrategy("Ready to accept connections"))
    database = DockerContainer(images["postgres"]).with_exposed_ports(5432).with_env("POSTGRES_PASSWORD", "test")
    database.waiting_for(LogMessageWaitStrategy("ready to accept connections", times=2))
    with bus, cache, database:

        def at(container: DockerContainer, port: int) -> str:
            return f"{container.get_container_host_ip()}:{container.get_exposed_port(port)}"

        yield (
            f"nats://{at(bus, 4222)}",
            f"redis://{at(cache, 6379)}/0",
            f"postgresql://postgres:test@{at(database, 5432)}/postgres",
        )


@asynccontextmanager
async def started() -> AsyncIterator[Servers]:
    """The servers with a migrated template database, which a test clones in milliseconds."""
    backend = containers if os.environ.get("PRECEDENT_TEST_BACKEND") == "containers" else wheels
    with reachable_directory() as directory:
        async with backend(Path(directory)) as (nats_url, redis_url, postgres_url):
            servers = Servers(nats_url, redis_url, postgres_url, secrets.token_hex(8))
            await make_template(servers)
            yield servers


async def make_template(servers: Servers) -> None:
    owner = await asyncpg.connect(servers.postgres_url)
    await owner.execute(f"create database {TEMPLATE}")
    await owner.close()
    await migrate(servers.database_url(TEMPLATE))
    await set_passwords(servers.database_url(TEMPLATE), dict.fromkeys(ROLES, servers.role_password))
