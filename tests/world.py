"""An empty deployment in this process: real servers, the services' own applications, real HTTP."""

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import nats
import redis.asyncio as redis
import uvicorn
from nats.aio.client import Client
from nats.js.errors import ServerError

from cli.keys import create_key
from services.gateway.settings import GatewaySettings
from shared.keys import SCOPES, Scope
from shared.settings import Settings
from shared.topology import declare
from tests import conformance
from tests.servers import TEMPLATE, Servers, free_port

READY_SECONDS = 20.0
LOG_BYTES = 256 << 20
# Nothing here is asked over TLS, and the authorities of the world take as long to read as a worker to start.
NO_AUTHORITIES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
AMPLE = str(Path(__file__).parents[1] / "benchmarks/ample_limits.toml")


def settings_of(service: str) -> type[Settings]:
    module = import_module(f"services.{service}.settings")
    made: type[Settings] = getattr(module, f"{service.title()}Settings")
    return made


def http_client(**options: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(verify=NO_AUTHORITIES, **options)


class QuietServer(uvicorn.Server):
    """Leaves the test runner's signals alone."""

    def capture_signals(self) -> contextlib.AbstractContextManager[None]:  # type: ignore[override]
        return nullcontext()


async def eventually(check: Callable[[], Awaitable[Any]], seconds: float = 10.0) -> Any:
    """Polls until `check` answers something true; fails with the last thing it said."""
    end = time.monotonic() + seconds
    while True:
        try:
            found = await check()
        except (AssertionError, httpx.HTTPError) as error:
            found, last = None, error
        else:
            last = found
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s; last seen: {last!r}")
        await asyncio.sleep(0.02)


@asynccontextmanager
async def serving(
    app: Any, port: int, http: Any = "auto", leaving: Callable[[], None] = lambda: None, readiness: int = 200
) -> AsyncIterator[uvicorn.Server]:
    """Runs an ASGI application on a real socket until the block ends; then it drains like a real process.

    The block begins when `/readyz` answers with `readiness`.
    """
    config = uvicorn.Config(
        app,
        port=port,
        http=http,
        log_config=None,
        lifespan="on",
        timeout_graceful_shutdown=10,
        proxy_headers=False,
    )
    server = QuietServer(config)
    task = asyncio.create_task(server.serve())
    try:
        async with http_client() as client:

            async def ready() -> bool:
                return (await client.get(f"http://127.0.0.1:{port}/readyz")).status_code == readiness

            await eventually(ready, READY_SECONDS)
        yield server
    finally:
        leaving()
        server.should_exit = True
        await task


@dataclass
class World:
    servers: Servers
    database: str
    nats: Client
    stack: AsyncExitStack
    owner: asyncpg.Connection = field(init=False)

    async def open(self) -> None:
        self.owner = await asyncpg.connect(self.servers.database_url(self.database))
        self.stack.push_async_callback(self.owner.close)

    def settings(self, role: str, cls: type[Settings] | None = None, **changes: Any) -> Any:
        fields = {
            "nats_url": self.servers.nats_url,
            "redis_url": self.servers.redis_url,
            "database_url": self.servers.database_url(self.database, role),
            "port": free_port(),
            "drain_seconds": 5.0,
            "pool_size": 4,
            # An empty deployment: no model, unless a test asks for the one that ships.
            "default_model": "off",
        }
        made = cls or settings_of(role.split("_")[0])
        return made(**fields | changes)

    async def start(self, *services: str, **changes: Any) -> None:
        for service in services:
            await self.stack.enter_async_context(self.worker(service, **changes))

    @asynccontextmanager
    async def worker(self, service: str, **changes: Any) -> AsyncIterator[Any]:
        """One replica of `scoring`, `patterns` or `trainer`; yields its application."""
        module = __import__(f"services.{service}.app", fromlist=["create_app"])
        settings = self.settings(f"{service}_rw", **changes)
        app = module.create_app(settings)
        async with serving(app, settings.port):
            yield app

    async def gateway(self, readiness: int = 200, **changes: Any) -> "Api":
        """With no limit to meet, unless `policies` says otherwise."""
        from services.gateway.app import create_app
        from services.gateway.protocol import BoundedProtocol

        settings = self.settings("gateway_ro", GatewaySettings, **{"policies": AMPLE} | changes)
        app = create_app(settings)
        await self.stack.enter_async_context(serving(app, settings.port, BoundedProtocol, app.runtime.drain, readiness))
        hooks = {"response": [conformance.check]}
        client = http_client(base_url=f"http://127.0.0.1:{settings.port}", timeout=30, event_hooks=hooks)
        await self.stack.enter_async_context(client)
        return Api(self, client)

    async def key(
        self, principal: str = "owner", scopes: Sequence[Scope] = SCOPES, agents: Sequence[str] = ("*",), **more: Any
    ) -> str:
        url = self.servers.database_url(self.database)
        return await create_key(url, principal=principal, scopes=scopes, agents=agents, **more)


_numbers = iter(range(1_000_000))


@asynccontextmanager
async def fresh_database(servers: Servers) -> AsyncIterator[str]:
    """The name of one with the whole schema, which is gone afterwards."""
    name = f"t_{id(object()):x}_{next(_numbers)}"
    owner = await asyncpg.connect(servers.postgres_url)
    await owner.execute(f"create database {name} template {TEMPLATE}")
    yield name
    await owner.execute(f"drop database {name} with (force)")
    await owner.close()


@asynccontextmanager
async def empty_world(servers: Servers, database: str) -> AsyncIterator[World]:
    """Only one at a time: it takes the streams away from any other."""
    connection = await nats.connect(servers.nats_url)
    js = connection.jetstream()
    for stream in await js.streams_info():
        await js.delete_stream(str(stream.config.name))

    async def declared() -> bool:
        """What was deleted a moment ago may still be on its way off the disk: the server then makes no new store."""
        try:
            await declare(js, LOG_BYTES)
        except ServerError:
            return False
        return True

    await eventually(declared)
    cache = redis.Redis.from_url(servers.redis_url)
    await cache.flushall()
    await cache.aclose()
    async with AsyncExitStack() as stack:
        made = World(servers, database, connection, stack)
        await made.open()
        yield made
    await connection.close()


@dataclass
class Api:
    """The gateway as a client sees it, with one key a principal."""

    world: World
    client: httpx.AsyncClient
    keys: dict[str, str] = field(default_factory=dict)

    async def call(self, method: str, path: str, *, as_: str = "owner", **options: Any) -> httpx.Response:
        if as_ not in self.keys:
            self.keys[as_] = await self.world.key(as_)
        headers = {"Authorization": f"Bearer {self.keys[as_]}"} | options.pop("headers", {})
        return await self.client.request(method, path, headers=headers, **options)

    async def get(self, path: str, **options: Any) -> httpx.Response:
        return await self.call("GET", path, **options)

    async def post(self, path: str, json: Any = None, **options: Any) -> httpx.Response:
        return await self.call("POST", path, json=json, **options)

    async def until(self, path: str, key: str, value: Any, seconds: float = 10.0) -> dict[str, Any]:
        """Polls `path` until its field `key` has one of the values."""
        wanted = value if isinstance(value, tuple) else (value,)

        async def check() -> dict[str, Any] | None:
            answer = await self.get(path)
            body: dict[str, Any] = answer.json()
            assert body.get(key) in wanted, body
            return body

        found: dict[str, Any] = await eventually(check, seconds)
        return found
