"""The connection pool. It connects when first used, so a process can start while Postgres is away."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

import asyncpg
import msgspec
from asyncpg.pool import PoolConnectionProxy
from prometheus_client import CollectorRegistry

from shared.pooling import MeasuredPool, PoolMetrics, WholeStatements
from shared.settings import Settings

Connection = asyncpg.Connection | PoolConnectionProxy

CONNECT_SECONDS = 3.0
PING_SECONDS = 2.0
# A query that takes longer may be slow, or its server may be gone without a word: time to ask.
PATIENCE_SECONDS = 1.0

T = TypeVar("T")


async def speak_json(connection: Any) -> None:
    await connection.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        encoder=lambda value: b"\x01" + msgspec.json.encode(value),
        decoder=lambda data: msgspec.json.decode(data[1:]),
        format="binary",
    )


def json_text(value: object) -> str:
    """Many rows as one argument of type `json`: arrays of their columns take longer to encode, `jsonb` to read."""
    return msgspec.json.encode(value).decode()


async def _keep_as_is(_: Any) -> None:
    """No statement of ours leaves anything behind in its session, so a released connection needs no round trip."""


def storable(text: str) -> str:
    """`text` without what Postgres cannot hold."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


class Database:
    """`pool` for work, `alive()` to tell an outage from an error of ours. `speak` teaches connections further types."""

    def __init__(
        self, settings: Settings, service: str, speak: Callable[[Any], Awaitable[None]] | None = None,
        registry: CollectorRegistry | None = None,
    ) -> None:  # fmt: skip
        self._settings = settings
        self._metrics = PoolMetrics(registry or CollectorRegistry())
        self._ping: asyncio.Task[bool] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._away = False
        self._options: dict[str, Any] = {
            "timeout": CONNECT_SECONDS,
            "command_timeout": settings.statement_timeout_seconds,
            "server_settings": {"application_name": f"precedent-{service}"},
        }
        self._pooled = self._options
        if settings.database_pooler == "transaction":
            self._pooled = self._options | {"connection_class": WholeStatements, "statement_cache_size": 0}
        self._speak = speak
        self.pool: asyncpg.Pool

    async def open(self) -> None:
        self.pool = await MeasuredPool(
            self._settings.database_url,
            acquire_seconds=self._settings.acquire_timeout_seconds,
            metrics=self._metrics,
            min_size=0,
            max_size=self._settings.pool_size,
            init=self._prepare,
            reset=_keep_as_is,
            **self._pooled,
        )
        self._metrics.watch(self.pool)

    async def _prepare(self, connection: Any) -> None:
        """In a transaction, so that a pooler sends all of the questions to one server."""
        async with connection.transaction():
            await speak_json(connection)
            if self._speak is not None:
                await self._speak(connection)

    async def close(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
        try:
            await asyncio.wait_for(self.pool.close(), PING_SECONDS)
        except (TimeoutError, asyncpg.InterfaceError):
            self.pool.terminate()

    @asynccontextmanager
    async def session(self) -> AsyncIterator[asyncpg.Connection]:
        """A connection outside the pool, for what a session holds, such as an advisory lock; it ends with the block."""
        url = self._settings.database_session_url or self._settings.database_url
        connection = await asyncpg.connect(url, **self._options)
        try:
            await self._prepare(connection)
            yield connection
        finally:
            with suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await connection.close(timeout=PING_SECONDS)

    @property
    def away(self) -> bool:
        """What is known at this moment; `alive` asks."""
        return self._away

    async def result(self, query: Awaitable[T]) -> T:
        """What `query` returns. Raises `ConnectionError` once Postgres is known to be away.

        A frozen server or a cut wire refuses nothing: such a query would wait for its whole timeout, and its
        cancellation for the server, so it is left behind.
        """
        running = asyncio.ensure_future(query)
        try:
            while not (await asyncio.wait({running}, timeout=PATIENCE_SECONDS))[0]:
                if not await self.alive():
                    raise ConnectionError("Postgres does not answer")
            return running.result()
        finally:
            if not running.done():
                running.cancel()
                running.add_done_callback(lambda task: task.cancelled() or task.exception())

    async def alive(self) -> bool:
        """Whether Postgres answers now. Callers at the same moment share one question."""
        if self._ping is None or self._ping.done():
            self._ping = asyncio.create_task(self._ask())
        return await asyncio.shield(self._ping)

    async def _ask(self) -> bool:
        """On a connection of its own: those of the pool may all be waiting for a server that is gone."""
        try:
            connection = await asyncpg.connect(self._settings.database_url, timeout=PING_SECONDS)
            try:
                await connection.execute("select true", timeout=PING_SECONDS)
            finally:
                connection.terminate()
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            self._watch()
            return False
        self._away = False
        return True

    def _watch(self) -> None:
        """Until it is back, one task asks, so that callers need not."""
        self._away = True
        if self._watching is None or self._watching.done():
            self._watching = asyncio.create_task(self._until_back())

    async def _until_back(self) -> None:
        while self._away:
            await asyncio.sleep(PATIENCE_SECONDS / 2)
            await self.alive()
