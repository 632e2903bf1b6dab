"""A materialized view that follows its tables: made anew soon after a change, seldom under load, never without one.

A change is heard where cached answers are let go (`Generations`), so after its commit. Of all replicas that heard, one
refreshes; the others see that a later snapshot than their change is there already. Locks last for one transaction.
"""

import asyncio
import logging
import time
import zlib
from collections.abc import Collection

from prometheus_client import CollectorRegistry, Histogram

from shared.database import Connection, Database
from shared.generations import STATS, Generations, every
from shared.telemetry import SECONDS

# An answer is at most so old while changes go on: a refresh, the pause after it, and the next refresh.
STALE_SECONDS = 5.0
# What else passes meanwhile, such as the way to a free connection.
SLACK_SECONDS = 0.5
LEAST_PAUSE_SECONDS = 1.0
# A refresh takes at most a tenth of a core, for as long as `STALE_SECONDS` allows that; or a hundredth.
PAUSE_PER_SECOND, LONG_PAUSE_PER_SECOND = 9.0, 99.0
# Another replica refreshes right now.
RETRY_SECONDS = 0.25

log = logging.getLogger(__name__)


def pause_seconds(took: float, per_second: float = PAUSE_PER_SECOND) -> float:
    """From the end of a refresh, which took so many seconds, to the next one."""
    allowed = STALE_SECONDS - SLACK_SECONDS - 2 * took
    return max(LEAST_PAUSE_SECONDS, min(per_second * took, allowed))


class Refreshed:
    """`schema.name`, which a function `schema.refresh_name()` makes anew, follows the generations `of`.

    It then moves the generation `shown` of what is read of it.
    """

    def __init__(
        self, database: Database, generations: Generations, registry: CollectorRegistry, schema: str, name: str,
        of: Collection[str], shown: str = STATS, pause_per_second: float = PAUSE_PER_SECOND,
    ) -> None:  # fmt: skip
        self._database, self._generations = database, generations
        self._schema, self._name, self._of, self._shown = schema, name, frozenset(of), shown
        self._pause_per_second = pause_per_second
        self._key = zlib.crc32(f"refresh:{schema}.{name}".encode())
        # What changed while nobody was here is seen at the start.
        self._changed = asyncio.Event()
        self._changed.set()
        self._changed_at = time.monotonic()
        self._seconds = Histogram(
            f"{name}_refresh_duration_seconds", "Making the view anew.", registry=registry, buckets=SECONDS
        )
        generations.listeners.append(self.moved)

    def moved(self, keys: Collection[str]) -> None:
        if not self._of.isdisjoint(keys):
            self._changed_at = time.monotonic()
            self._changed.set()

    async def run(self) -> None:
        """Runs until cancelled."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                again = await self._attempt()
            except Exception:
                if await self._database.alive():
                    log.exception("%s.%s could not be refreshed; it is tried again", self._schema, self._name)
                again = LEAST_PAUSE_SECONDS
            if again:
                self._changed.set()
                await asyncio.sleep(again)

    async def _attempt(self) -> float:
        """Seconds until it is worth trying again; 0 once the last change that was heard is seen."""
        heard_at = self._changed_at
        async with self._database.pool.acquire() as connection, connection.transaction():
            if not await connection.fetchval("select pg_try_advisory_xact_lock($1)", self._key):
                return RETRY_SECONDS
            since_heard = time.monotonic() - heard_at
            age, took = await self._last(connection)
            if age < since_heard:  # somebody's snapshot is later than the change
                return 0.0
            if (rest := took + pause_seconds(took, self._pause_per_second) - age) > 0:
                return rest
            await self._refresh(connection)
        await self._generations.moved([every(self._shown)])
        return 0.0

    async def _last(self, connection: Connection) -> tuple[float, float]:
        """How old the last snapshot is, by the database's clock, and how long it took."""
        row = await connection.fetchrow(
            f"select extract(epoch from clock_timestamp() - as_of)::float8 as age, seconds "
            f"from {self._schema}.refreshes where name = $1",
            self._name,
        )
        return (float("inf"), 0.0) if row is None else (row["age"], row["seconds"])

    async def _refresh(self, connection: Connection) -> None:
        """`now()` is when the transaction began, so before the snapshot."""
        started = time.perf_counter()
        await connection.execute(f"select {self._schema}.refresh_{self._name}()")
        took = time.perf_counter() - started
        await connection.execute(
            f"insert into {self._schema}.refreshes (name, as_of, seconds) values ($1, now(), $2) "
            "on conflict (name) do update set as_of = excluded.as_of, seconds = excluded.seconds",
            self._name,
            took,
        )
        self._seconds.observe(took)
