"""The process around a service's handlers: it waits for its stores, serves probes and metrics, and drains.

An ASGI application, so that uvicorn owns signals and sockets; work begins in the background, so `/healthz`
answers while the process still waits and `/readyz` says for what.
"""

import asyncio
import gc
import logging
import os
import resource
import signal
import sys
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec
import uvicorn
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from shared.bus import Bus
from shared.database import Database
from shared.delivery import Delivery
from shared.ending import end
from shared.listening import BACKLOG, given_or_opened
from shared.logs import set_up_logs
from shared.otlp_metrics import export_metrics
from shared.pull import Pull
from shared.settings import Settings
from shared.telemetry import BusMetrics, set_up_traces, watch_loop
from shared.topology import WORK

WAIT_SECONDS = 0.5
SAY_EVERY = 10
LAG_SECONDS = 5.0
# Objects made and not yet let go of, until the young ones are searched; Python's own number is 700.
GARBAGE = 10_000

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Scope]]
Send = Callable[[Scope], Awaitable[None]]

log = logging.getLogger(__name__)


async def until(what: str, attempt: Callable[[], Awaitable[Any]]) -> None:
    """Repeats `attempt` until it neither raises nor answers False, and says every few seconds for what it waits."""
    tries = 0
    while True:
        try:
            if await attempt() is not False:
                return
            reason = "no answer"
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
        if tries % SAY_EVERY == 0:
            log.warning("waiting for %s (%s)", what, reason)
        tries += 1
        await asyncio.sleep(WAIT_SECONDS)


@dataclass
class Worker:
    """`start` runs once the stores answer and before the first message; `background` runs until the end.

    What `pulls` have read is handled before the bus is closed.
    """

    service: str
    settings: Settings
    bus: Bus
    database: Database
    delivery: Delivery
    registry: CollectorRegistry
    metrics: BusMetrics
    start: Callable[[], Awaitable[None]]
    background: Sequence[Callable[[], Awaitable[None]]] = ()
    pulls: Sequence[Pull] = ()
    stop: Callable[[], Awaitable[None]] | None = None
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _stage: str = "starting"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            await self._http(scope["path"], send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        await self.database.open()
        work = asyncio.create_task(self._work())
        work.add_done_callback(self._ended)
        self._tasks.append(work)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._drain()
        await send({"type": "lifespan.shutdown.complete"})

    async def _work(self) -> None:
        for name, attempt in (("NATS", self.bus.open), ("Postgres", self.database.alive)):
            self._stage = f"waiting for {name}"
            await until(name, attempt)
        self._stage = "loading"
        await self._start()
        self._tasks.extend(asyncio.create_task(run()) for run in self._loops())  # type: ignore[arg-type]
        await self.bus.start()
        rarely_collect()
        self._stage = "ready"
        log.info("%s is ready", self.service)

    async def _start(self) -> None:
        """A store that goes away meanwhile is waited for; any other failure is ours, and ends the process."""
        while True:
            try:
                return await self.start()
            except Exception:
                if self.bus.connected and await self.database.alive():
                    raise
            await until("Postgres", self.database.alive)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Without its work the process is of no use: it stops, and whoever supervises it starts it again."""
        if not task.cancelled() and (error := task.exception()):
            log.critical("%s cannot work", self.service, exc_info=error)
            self._stage = "failed"
            signal.raise_signal(signal.SIGTERM)

    def _loops(self) -> list[Callable[[], Awaitable[None]]]:
        loops = [*self.background, self.delivery.keep, lambda: watch_loop(self.metrics.loop_lag), self._watch_lag]
        if self.settings.otlp_endpoint:
            loops.append(lambda: export_metrics(self.registry, self.service, self.settings.otlp_endpoint))
        return loops

    async def _watch_lag(self) -> None:
        mine = [w for w in WORK if w.service == self.service]
        while True:
            with suppress(Exception):
                for item in mine:
                    info = await self.bus.js.consumer_info(item.stream, item.durable)
                    self.metrics.lag.labels(item.durable).set(info.num_pending or 0)
            await asyncio.sleep(LAG_SECONDS)

    async def _drain(self) -> None:
        """Handlers finish first, then what they left, then the stores."""
        log.info("%s drains", self.service)
        self._stage = "draining"
        self.delivery.draining.set()
        with suppress(Exception):
            await asyncio.wait_for(asyncio.gather(*(p.drain() for p in self.pulls)), self.settings.drain_seconds)
        with suppress(Exception):
            await self.bus.stop()
        if self.stop is not None:
            with suppress(Exception):
                await self.stop()
        await end(self._tasks)
        await self.database.close()

    async def _http(self, path: str, send: Send) -> None:
        if path == "/metrics":
            await _answer(send, 200, generate_latest(self.registry), CONTENT_TYPE_LATEST)
        elif path == "/healthz":
            await _answer(send, 200, b'{"status":"ok"}')
        elif path == "/readyz":
            await _answer(send, 200 if self._stage == "ready" else 503, msgspec.json.encode({"status": self._stage}))
        else:
            await _answer(send, 404, b'{"status":"not found"}')


async def _answer(send: Send, status: int, body: bytes, content_type: str = "application/json") -> None:
    headers = [(b"content-type", content_type.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def run(
    service: str,
    settings: Settings,
    app: Any,
    server: type[uvicorn.Server] = uvicorn.Server,
    http: type[asyncio.Protocol] | Literal["auto"] = "auto",
) -> None:
    """Serves `app` until SIGTERM or SIGINT. First of all it has its port: nobody is ready whom nobody reaches."""
    try:
        reached_at = given_or_opened(settings.listen_fd, settings.host, settings.port)
    except OSError as error:
        sys.exit(f"{service}: cannot listen on {settings.host}:{settings.port} ({error.strerror})")
    allow_many_connections()
    config = uvicorn.Config(
        app,
        backlog=BACKLOG,
        http=http,
        loop="uvloop" if os.name == "posix" else "asyncio",
        log_config=None,
        access_log=False,
        server_header=False,
        # uvicorn would believe whatever the loopback address says about where a request comes from.
        proxy_headers=False,
        # The default of 5 s cuts off idle clients that are about to send.
        timeout_keep_alive=75,
        timeout_graceful_shutdown=int(settings.drain_seconds),
        lifespan="on",
    )
    set_up_logs(service, level=settings.log_level, style=settings.log_format)
    set_up_traces(service, settings.otlp_endpoint)
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    # With a handler in reach uvicorn would put together a line for each request, for nobody.
    logging.getLogger("uvicorn.access").propagate = False
    server(config).run(sockets=[reached_at])


def rarely_collect() -> None:
    """What is there stays, and is never looked at again; of what comes, little is a cycle that only a search finds."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE, 20, 50)


def allow_many_connections() -> None:
    """As many open files as this user may have: the usual soft limit of 1,024 is fewer than a gateway's clients."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
