"""How the gateway speaks to Redis: never for longer than a caller can wait."""

from typing import Any

import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

# What "Redis is away" looks like from here.
AWAY = (RedisError, OSError, TimeoutError)
TIMEOUT_SECONDS = 0.5


def redis_client(url: str, connections: int) -> "redis.Redis":
    """No retries: whoever asks knows what to do without Redis, and a script that ran must not run again."""
    pool = redis.BlockingConnectionPool.from_url(
        url,
        max_connections=connections,
        timeout=TIMEOUT_SECONDS,
        socket_timeout=TIMEOUT_SECONDS,
        socket_connect_timeout=TIMEOUT_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )
    return redis.Redis(connection_pool=pool)


def lasting_connection(url: str) -> Any:
    """One connection held for good: taking it from a pool and giving it back costs as much as a decision.

    Without timeouts of its own but for connecting: whoever uses it sets a deadline.
    """
    pool: Any = redis.ConnectionPool.from_url(
        url, socket_timeout=None, socket_connect_timeout=TIMEOUT_SECONDS, retry=Retry(NoBackoff(), 0)
    )
    return pool.make_connection()
