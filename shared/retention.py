"""What is kept for a time only is let go beside the work: in small batches with pauses, by one replica at a time."""

import asyncio
import logging
import time
import zlib
from collections.abc import Sequence

import asyncpg
import msgspec
from prometheus_client import CollectorRegistry, Counter

from shared.database import Database
from shared.generations import Generations, every, one

# After the start, and after each round.
ROUND_SECONDS = 600.0
BATCH_ROWS = 500
# A batch that takes longer is undone, and tried with fewer rows: nobody waits longer for one of them.
BATCH_SECONDS = 2.0
# Four fifths of the time others have the disk for themselves.
PAUSE_PER_SECOND = 4.0
LEAST_PAUSE_SECONDS = 0.02

log = logging.getLogger(__name__)


class Rule(msgspec.Struct, frozen=True):
    """`statement` lets go of at most $2 rows that are older than $1 days, and returns a UUID of each.

    0 `days` are for ever. `of` is what answers those rows were part of, as in `generations`.
    """

    name: str
    days: int
    statement: str
    of: str | None = None


class Retention:
    def __init__(
        self, database: Database, generations: Generations, registry: CollectorRegistry, schema: str,
        rules: Sequence[Rule],
    ) -> None:  # fmt: skip
        self._database, self._generations, self._schema = database, generations, schema
        self._rules = [rule for rule in rules if rule.days]
        self._key = zlib.crc32(f"retention:{schema}".encode())
        self._let_go = Counter("retention_rows", "Rows let go for their age.", ("rule",), registry=registry)

    async def round(self) -> None:
        """Until nothing is left that is too old. Where another replica is at it already, nothing."""
        async with self._database.session() as connection:
            if await connection.fetchval("select pg_try_advisory_lock($1)", self._key):
                for rule in self._rules:
                    await self._apply(connection, rule)

    async def _apply(self, connection: asyncpg.Connection, rule: Rule) -> None:
        size, gone = BATCH_ROWS, 0
        while True:
            started = time.perf_counter()
            try:
                rows = await connection.fetch(rule.statement, rule.days, size, timeout=BATCH_SECONDS)
            except TimeoutError:
                if size == 1:
                    raise
                size = max(1, size // 4)
                continue
            gone += len(rows)
            self._let_go.labels(rule.name).inc(len(rows))
            if rule.of is not None and rows:
                await self._generations.moved([every(rule.of), *(one(rule.of, row[0]) for row in rows)])
            if len(rows) < size:
                break
            await asyncio.sleep(max(LEAST_PAUSE_SECONDS, PAUSE_PER_SECOND * (time.perf_counter() - started)))
        if gone:
            log.info("%s: let go of %d rows older than %d days (%s)", self._schema, gone, rule.days, rule.name)
