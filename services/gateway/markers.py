"""What was accepted but is not yet stored, remembered in Redis. With Redis away nothing is lost, only not yet seen."""

import logging
from uuid import UUID

from services.gateway.redis_client import AWAY, redis_client

DAY_SECONDS = 86_400
MAX_CONNECTIONS = 32

log = logging.getLogger(__name__)


class Markers:
    def __init__(self, url: str) -> None:
        self._redis = redis_client(url, MAX_CONNECTIONS)

    async def set(self, what: str, *ids: UUID) -> None:
        """Marks `what`:id as accepted for a day. Without Redis nothing happens."""
        try:
            pipe = self._redis.pipeline(transaction=False)
            for marked in ids:
                pipe.set(f"{what}:accepted:{marked}", b"1", ex=DAY_SECONDS)
            await pipe.execute()
        except AWAY as error:
            log.warning("Redis is away, %s stays unmarked: %s", what, error)

    async def has(self, what: str, marked: UUID) -> bool | None:
        """None when Redis is away: then nobody knows."""
        try:
            return bool(await self._redis.exists(f"{what}:accepted:{marked}"))
        except AWAY:
            return None

    async def alive(self) -> bool:
        try:
            return bool(await self._redis.ping())
        except AWAY:
            return False

    async def close(self) -> None:
        await self._redis.aclose()
