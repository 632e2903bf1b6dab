"""Servers of a test's own, which can go away and come back on the same port, and the world on them."""

import os
import secrets
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import nats
import redis.asyncio as redis

from deploy.local.process import Child, until_ready
from shared.topology import declare
from tests.servers import TEMPLATE, Servers, make_template, reachable_directory, running
from tests.world import World

LOG_BYTES = 256 << 20


@dataclass(frozen=True)
class Frail(Servers):
    """`stop` and `start` are an outage with refused connections, `freeze` and `thaw` one where nothing answers."""

    children: dict[str, Child]

    async def stop(self, name: str) -> None:
        await self.children[name].stop()

    async def start(self, name: str) -> None:
        await self.children[name].spawn()
        await until_ready(self.children[name])

    def freeze(self, name: str) -> None:
        self._signal(name, signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        self._signal(name, signal.SIGCONT)

    def _signal(self, name: str, sig: signal.Signals) -> None:
        pid = self.children[name].pid
        assert pid is not None, f"{name} is not running"
        for process in (pid, *children_of(pid)):
            with suppress(ProcessLookupError):  # a backend whose client has left meanwhile
                os.kill(process, sig)
        while sig == signal.SIGSTOP and state_of(pid) != "T":
            time.sleep(0.001)

    async def mend(self) -> None:
        """Whatever a test left stopped runs again."""
        for name, child in self.children.items():
            if child.alive:
                self.thaw(name)
            else:
                await self.start(name)


def children_of(pid: int) -> list[int]:
    """The backends of a Postgres have process groups of their own."""
    return [int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]


@asynccontextmanager
async def frail() -> AsyncIterator[Frail]:
    with reachable_directory() as directory:
        async with running(Path(directory)) as found:
            urls = [found[name][0] for name in ("nats", "valkey", "postgres")]
            children = {name: child for name, (_, child) in found.items()}
            servers = Frail(urls[0], urls[1], urls[2], secrets.token_hex(8), children)
            await make_template(servers)
            try:
                yield servers
            finally:
                await servers.mend()


@asynccontextmanager
async def world_on(servers: Servers, name: str) -> AsyncIterator[World]:
    """A fresh database and empty streams on these servers."""
    owner = await asyncpg.connect(servers.postgres_url)
    await owner.execute(f"create database {name} template {TEMPLATE}")
    await owner.close()
    connection = await nats.connect(servers.nats_url, max_reconnect_attempts=-1, reconnect_time_wait=0.1)
    for stream in await connection.jetstream().streams_info():
        await connection.jetstream().delete_stream(str(stream.config.name))
    await declare(connection.jetstream(), LOG_BYTES)
    cache = redis.Redis.from_url(servers.redis_url)
    await cache.flushall()
    await cache.aclose()
    async with AsyncExitStack() as stack:
        world = World(servers, name, connection, stack)
        await world.open()
        yield world
    await connection.close()
