"""What a worker does again and again beside its messages."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from shared.bus import Bus
from shared.database import Database

log = logging.getLogger(__name__)


async def repeat(seconds: float, do: Callable[[], Awaitable[None]], bus: Bus, database: Database) -> None:
    """For ever, first after `seconds`. A failure is logged unless a store is away: that is told elsewhere."""
    while True:
        await asyncio.sleep(seconds)
        try:
            await do()
        except Exception:
            if bus.connected and await database.alive():
                log.exception("what is done every %.0f s failed; it is tried again", seconds)
