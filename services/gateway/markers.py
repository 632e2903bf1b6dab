"""What was accepted but is not yet stored, remembered in Redis. With Redis away nothing is lost, only not yet seen."""

import logging
from uuid import UUID

import redis.asyncio as redis
from redis.exceptions import RedisError

DAY_SECONDS = 86_400
TIMEOUT_SECONDS = 0.25
MAX_CONNECTIONS = 32

log = logging.getLogger(__name__)


class Markers:
    def __init__(self, url: str) -> None:
        pool = redis.BlockingConnectionPool.from_url(
            url,
            max_connections=MAX_CONNECTIONS,
            timeout=TIMEOUT_SECONDS,
            socket_timeout=TIMEOUT_SECONDS,
            socket_connect_timeout=TIMEOUT_SECONDS,
        )
        self._redis = redis.Redis(connection_pool=pool)

    async def set(self, what: str, *ids: UUID) -> None:
        """Marks `what`:id as accepted for a day. Without Redis nothing happens."""
        try:
            pipe = self._redis.pipeline(transaction=False)
            for marked in ids:
                pipe.set(f"{what}:accepted:{marked}", b"1", ex=DAY_SECONDS)
            await pipe.execute()
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("Redis is away, %s stays unmarked: %s", what, error)

    async def has(self, what: str, marked: UUID) -> bool | None:
        """None when Redis is away: then nobody knows."""
        try:
            return bool(await self._redis.exists(f"{what}:accepted:{marked}"))
        except (RedisError, OSError, TimeoutError):
            return None

    async def alive(self) -> bool:
        try:
            return bool(await self._redis.ping())
        except (RedisError, OSError, TimeoutError):
            return False

    async def close(self) -> None:
        await self._redis.aclose()
