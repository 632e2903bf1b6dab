"""A subject that one replica at a time works on, so that its messages are handled in order.

The turn is an advisory lock of a transaction that is kept open: when its holder is gone, Postgres gives it to another.
"""

import asyncio
import logging
import zlib
from collections.abc import Awaitable, Callable
from contextlib import suppress

import asyncpg
from nats.aio.msg import Msg

from shared.bus import Bus
from shared.database import Connection, Database
from shared.pull import Pull

TURN_SECONDS = 1.0

log = logging.getLogger(__name__)


class Lane:
    def __init__(self, bus: Bus, database: Database, subject: str, handle: Callable[[Msg], Awaitable[None]]) -> None:
        self._database = database
        self._subject = subject
        self.pull = Pull(bus, subject, handle)
        self._key = zlib.crc32(f"{bus.service}:{subject}".encode())

    async def run(self) -> None:
        """Runs until cancelled: waits for its turn, works while it has it."""
        while True:
            with suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                async with self._database.session() as connection:
                    while True:
                        # Of a transaction: wherever a pooler has begun it, there it stays until its end.
                        await connection.execute("begin")
                        if await connection.fetchval("select pg_try_advisory_xact_lock($1)", self._key):
                            await self._work(connection)
                        await connection.execute("rollback")
                        await asyncio.sleep(TURN_SECONDS)
            await asyncio.sleep(TURN_SECONDS)

    async def _work(self, connection: Connection) -> None:
        """Until the connection is lost, and the turn with it."""
        log.info("%s is handled here from now on", self._subject)
        working = asyncio.create_task(self.pull.run())
        try:
            while not working.done():
                # Asked for rows it would keep its snapshot until the next time, and with it all that anybody deletes.
                await connection.execute("select 1")
                await asyncio.sleep(TURN_SECONDS)
        finally:
            working.cancel()
            await asyncio.wait({working})
