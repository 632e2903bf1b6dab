"""A service's connections: how long work waits for one, and how a statement passes through a pooler in between.

PgBouncer in transaction mode gives a client another server after each transaction. A statement with arguments is two
exchanges, so without prepared statements of its own, which it has from 1.21 on, the second may reach a server that
has not heard the first.
"""

import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from asyncpg.pool import Pool, PoolConnectionProxy
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from shared.telemetry import SECONDS


class WholeStatements(asyncpg.Connection):  # type: ignore[misc]
    """A connection whose every statement is a transaction: two exchanges more, and all of them with one server."""

    @asynccontextmanager
    async def _held(self) -> AsyncIterator[None]:
        if self.is_in_transaction():
            yield
            return
        async with self.transaction():
            yield

    async def execute(self, query: str, *args: Any, timeout: float | None = None) -> str:
        if not args:  # one exchange, such as the `begin` of a transaction
            return str(await super().execute(query, timeout=timeout))
        async with self._held():
            return str(await super().execute(query, *args, timeout=timeout))

    async def executemany(self, command: str, args: Iterable[Any], *, timeout: float | None = None) -> None:
        async with self._held():
            await super().executemany(command, args, timeout=timeout)

    async def fetch(self, query: str, *args: Any, **options: Any) -> list[asyncpg.Record]:
        async with self._held():
            found: list[asyncpg.Record] = await super().fetch(query, *args, **options)
            return found

    async def fetchrow(self, query: str, *args: Any, **options: Any) -> asyncpg.Record | None:
        async with self._held():
            return await super().fetchrow(query, *args, **options)

    async def fetchval(self, query: str, *args: Any, **options: Any) -> Any:
        async with self._held():
            return await super().fetchval(query, *args, **options)


class PoolMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._connections = Gauge(
            "db_pool_connections", "Connections to Postgres; `waiting`: work for one.", ("state",), registry=registry
        )
        self.waited = Histogram(
            "db_pool_wait_seconds", "Until a connection was there.", registry=registry, buckets=SECONDS
        )
        self.timeouts = Counter("db_pool_timeouts", "Work that got no connection in time.", registry=registry)

    def watch(self, pool: "MeasuredPool") -> None:
        """What the pool has, as of each look."""
        self._connections.labels("idle").set_function(pool.get_idle_size)
        self._connections.labels("used").set_function(lambda: pool.get_size() - pool.get_idle_size())
        self._connections.labels("waiting").set_function(lambda: pool.waiting)


class MeasuredPool(Pool):  # type: ignore[misc]
    """Work waits at most `acquire_seconds` for a connection, and then fails with `TimeoutError`."""

    def __init__(self, url: str, *, acquire_seconds: float, metrics: PoolMetrics, **options: Any) -> None:
        super().__init__(
            url,
            max_queries=50_000,
            max_inactive_connection_lifetime=300.0,
            connection_class=options.pop("connection_class", asyncpg.Connection),
            record_class=asyncpg.Record,
            setup=None,
            loop=None,
            **options,
        )
        self.waiting = 0
        self._acquire_seconds, self._metrics = acquire_seconds, metrics

    async def _acquire(self, timeout: float | None) -> PoolConnectionProxy:
        """Behind `acquire` and every statement on the pool itself."""
        # A bound costs a task; nobody waits while there is one to be had.
        bound = timeout or (None if self.get_idle_size() else self._acquire_seconds)
        started = time.perf_counter()
        self.waiting += 1
        try:
            return await super()._acquire(bound)
        except TimeoutError:
            self._metrics.timeouts.inc()
            raise
        finally:
            self.waiting -= 1
            self._metrics.waited.observe(time.perf_counter() - started)

    async def release(self, connection: PoolConnectionProxy, *, timeout: float | None = None) -> None:
        """Behind the end of `acquire` and of every statement. What waits for nothing needs no task that shields it."""
        given = connection._con
        if given is None or given.is_closed() or given.is_in_transaction() or given._protocol._is_cancelling():
            await super().release(connection, timeout=timeout)
        else:
            given._on_release()
            await connection._holder.release(timeout)
