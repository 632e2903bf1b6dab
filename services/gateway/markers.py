"""What was accepted but is not yet stored, remembered in Redis. With Redis away nothing is lost, only not yet seen."""

import asyncio
import logging
from collections.abc import Sequence
from uuid import UUID

from services.gateway.coalescer import Coalescer
from shared.redis_connections import AWAY, RedisConnections

DAY_SECONDS = 86_400
CONNECTIONS = 4

log = logging.getLogger(__name__)


class Markers:
    """What is marked or asked for while others are on their way goes along with the next."""

    def __init__(self, url: str) -> None:
        self._connections = RedisConnections(url, CONNECTIONS)
        self._marks: Coalescer[str, None] = Coalescer(self._mark)
        self._looks: Coalescer[str, bool | None] = Coalescer(self._look)

    def set(self, what: str, marked: UUID) -> asyncio.Future[None]:
        """Marks `what`:id as accepted for a day. Without Redis nothing happens."""
        return self._marks.ask(key_of(what, marked))

    def has(self, what: str, marked: UUID) -> asyncio.Future[bool | None]:
        """None when Redis is away: then nobody knows."""
        return self._looks.ask(key_of(what, marked))

    async def _mark(self, keys: Sequence[str]) -> list[None]:
        try:
            await self._connections.ask(*(("SET", key, "1", "EX", DAY_SECONDS) for key in keys))
        except AWAY as error:
            log.warning("Redis is away, %d stay unmarked: %s", len(keys), error)
        return [None] * len(keys)

    async def _look(self, keys: Sequence[str]) -> list[bool | None]:
        try:
            [found] = await self._connections.ask(("MGET", *keys))
        except AWAY:
            return [None] * len(keys)
        return [each is not None for each in found]

    async def alive(self) -> bool:
        try:
            await self._connections.ask(("PING",))
        except AWAY:
            return False
        return True

    async def close(self) -> None:
        await self._connections.close()


def key_of(what: str, marked: UUID) -> str:
    """For whoever goes to Redis anyway: there is something behind it if it is marked."""
    return f"{what}:accepted:{marked}"
