"""What was accepted but is not yet stored, remembered in Redis. With Redis away nothing is lost, only not yet seen."""

import asyncio
import logging
from collections.abc import Sequence
from uuid import UUID

from services.gateway.coalescer import Coalescer
from services.gateway.redis_client import AWAY, redis_client

DAY_SECONDS = 86_400
MAX_CONNECTIONS = 32

log = logging.getLogger(__name__)


class Markers:
    """What is marked or asked for while others are on their way goes along with the next."""

    def __init__(self, url: str) -> None:
        self._redis = redis_client(url, MAX_CONNECTIONS)
        self._marks: Coalescer[str, None] = Coalescer(self._mark)
        self._looks: Coalescer[str, bool | None] = Coalescer(self._look)

    def set(self, what: str, marked: UUID) -> asyncio.Future[None]:
        """Marks `what`:id as accepted for a day. Without Redis nothing happens."""
        return self._marks.ask(_key(what, marked))

    def has(self, what: str, marked: UUID) -> asyncio.Future[bool | None]:
        """None when Redis is away: then nobody knows."""
        return self._looks.ask(_key(what, marked))

    async def _mark(self, keys: Sequence[str]) -> list[None]:
        try:
            pipe = self._redis.pipeline(transaction=False)
            for key in keys:
                pipe.set(key, b"1", ex=DAY_SECONDS)
            await pipe.execute()
        except AWAY as error:
            log.warning("Redis is away, %d stay unmarked: %s", len(keys), error)
        return [None] * len(keys)

    async def _look(self, keys: Sequence[str]) -> list[bool | None]:
        try:
            return [found is not None for found in await self._redis.mget(keys)]
        except AWAY:
            return [None] * len(keys)

    async def alive(self) -> bool:
        try:
            return bool(await self._redis.ping())
        except AWAY:
            return False

    async def close(self) -> None:
        await self._redis.aclose()


def _key(what: str, marked: UUID) -> str:
    return f"{what}:accepted:{marked}"
