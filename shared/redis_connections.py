"""A few connections to Redis that are kept for good, for what is asked with every fix and every request.

Taking one from the client's own pool, with all that it checks and repeats around a command, costs several times what
a short command does.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import hiredis
import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import RedisError, ResponseError

# What "Redis is away" looks like from here.
AWAY = (RedisError, OSError, TimeoutError)
# No caller can wait for longer.
SECONDS = 0.5

Command = tuple[str | bytes | int, ...]


class RedisConnections:
    """At most `most` of them; each trip to Redis, and the wait for a connection before it, has `seconds`."""

    def __init__(self, url: str, most: int, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        # One deadline around both ways: the client's own, around each, would cost a task.
        pool: Any = redis.ConnectionPool.from_url(
            url, socket_timeout=None, socket_connect_timeout=seconds, retry=Retry(NoBackoff(), 0)
        )
        self._idle: asyncio.LifoQueue[Any] = asyncio.LifoQueue()
        self._all = [pool.make_connection() for _ in range(most)]
        for connection in self._all:
            self._idle.put_nowait(connection)

    async def ask(self, *commands: Command) -> list[Any]:
        """The reply to each, sent together. Raises `ResponseError` for the first that Redis refuses, or one of `AWAY`.

        A connection that was closed while it was idle, or a reply that is late, perhaps only because this process was:
        asked twice, Redis shows whether it is away. So a command may be carried out twice.
        """
        connection = await self._taken()
        try:
            try:
                return await self._exchange(connection, commands)
            except (ConnectionLost, TimeoutError):
                await connection.disconnect()
                return await self._exchange(connection, commands)
        except ResponseError:
            raise
        except BaseException:
            # Whatever is still to come of this trip is no answer to the next.
            await connection.disconnect(nowait=True)
            raise
        finally:
            self._idle.put_nowait(connection)

    async def _taken(self) -> Any:
        # A deadline is not free, and mostly there is one.
        if not self._idle.empty():
            return self._idle.get_nowait()
        async with asyncio.timeout(self._seconds):
            return await self._idle.get()

    async def _exchange(self, connection: Any, commands: Sequence[Command]) -> list[Any]:
        async with asyncio.timeout(self._seconds):
            packed = b"".join(hiredis.pack_command(command) for command in commands)  # type: ignore[arg-type]
            await connection.send_packed_command(packed, check_health=False)
            replies = [await _reply(connection) for _ in commands]
        for reply in replies:
            if isinstance(reply, ResponseError):
                raise reply
        return replies

    async def close(self) -> None:
        for connection in self._all:
            await connection.disconnect(nowait=True)


async def _reply(connection: Any) -> Any:
    """With those that follow a refusal on their way, it is a reply like others."""
    try:
        return await connection.read_response()
    except ResponseError as error:
        return error
