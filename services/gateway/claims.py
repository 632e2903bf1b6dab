"""Which `Idempotency-Key` was used for what, kept in Redis for a day."""

import logging
import os

from services.gateway.problems import ApiError
from shared.redis_connections import AWAY, RedisConnections

DAY_SECONDS = 86_400
# Longer than any request takes; a gateway that died in the middle of one bars a repeat for no longer.
UNDER_WAY_SECONDS = 60
CONNECTIONS = 8
DONE, UNDER_WAY = b"done:", b"under way:"

log = logging.getLogger(__name__)


class Claims:
    """Which key was used for what, for a day."""

    def __init__(self, redis_url: str) -> None:
        self._connections = RedisConnections(redis_url, CONNECTIONS)

    async def claim(self, name: str, print_: bytes) -> bool:
        """Whether this is the first request with the key, as far as is known.

        Raises `ApiError` 409 while the same request is under way, and 422 where the key stood for another one.
        """
        # Asked twice, for want of a reply, it has to know its own claim.
        mine = UNDER_WAY + os.urandom(8).hex().encode() + b":" + print_
        try:
            [held] = await self._connections.ask(("SET", name, mine, "NX", "GET", "EX", UNDER_WAY_SECONDS))
        except AWAY as error:
            log.warning("Redis is away, a repeat is recognised by its id alone: %s", error)
            return False
        if held is None or held == mine:
            return True
        if not held.endswith(b":" + print_):
            detail = "this key was used for another request within the last day; use a new one"
            raise ApiError(422, "idempotency_mismatch", detail, field="Idempotency-Key")
        if held.startswith(UNDER_WAY):
            raise ApiError(409, "idempotency_in_progress", "the first request with this key is not answered yet")
        return False

    async def settle(self, name: str, print_: bytes, status: int) -> None:
        """What failed may be tried again, also with another payload."""
        try:
            if 200 <= status < 300:
                await self._connections.ask(("SET", name, DONE + print_, "EX", DAY_SECONDS))
            else:
                await self._connections.ask(("DEL", name))
        except AWAY as error:
            log.warning("Redis is away, a key stays as it was: %s", error)

    async def close(self) -> None:
        await self._connections.close()
