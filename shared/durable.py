"""What a durable consumer has for us, as it comes: nothing stands between the connection and whoever fetches.

nats-py's own `fetch` asks JetStream twice, leaves what it asked open behind it, and takes a task and three turns of the
loop for each message: together an eighth of a fix's processor time. Here one request is open at a time, until all that
it asked for has come or its time is over.
"""

import asyncio
from contextlib import suppress

import msgspec
import nats
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from shared.nats_client import NatsClient

# Of a request that ends: its time is over, or there was nothing.
OVER = frozenset({"404", "408"})
# JetStream says when the time is over; a server that is gone says nothing.
LATE_SECONDS = 0.5


class Durable:
    """One fetches at a time."""

    def __init__(self, client: NatsClient, stream: str, durable: str) -> None:
        self._client = client
        self._next = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{durable}"
        self._inbox = client.new_inbox()
        self._subscription: Subscription | None = None
        self._came: list[Msg] = []
        self._refused: Msg | None = None
        self._waiting: asyncio.Future[None] | None = None
        # What the open request may still bring, and until when of the loop's clock.
        self._due, self._until = 0, 0.0

    async def fetch(self, most: int, seconds: float) -> list[Msg]:
        """What has come, at least one message; none when nothing came for so long.

        Raises `nats.errors.Error` where JetStream refuses, or cannot be asked.
        """
        if not self._came:
            # Before the question: what is answered while that still goes out would wake nobody.
            self._waiting = asyncio.get_running_loop().create_future()
            await self._ask(most, seconds)
            await self._something(self._waiting)
        came, self._came = self._came, []
        if not came and self._refused is not None:
            nats.js.errors.APIError.from_msg(self._refused)
        return came

    async def close(self) -> list[Msg]:
        """What came and was not fetched; with it all that JetStream has sent before it heard that nobody listens."""
        with suppress(nats.errors.Error, OSError):
            if self._subscription is not None:
                await self._client.leave(self._subscription)
        return self._came

    async def _ask(self, most: int, seconds: float) -> None:
        now = asyncio.get_running_loop().time()
        if self._due > 0 and now < self._until:
            return
        if self._subscription is None:
            self._subscription = await self._client.hear(self._inbox, "", self._take)
        self._refused, self._due, self._until = None, most, now + seconds
        await self._client.publish(
            self._next, msgspec.json.encode({"batch": most, "expires": int(seconds * 1e9)}), self._inbox
        )

    async def _something(self, waiting: asyncio.Future[None]) -> None:
        """Returns when there is something, or when it is too late for it."""
        late = asyncio.get_running_loop().call_at(self._until + LATE_SECONDS, self._wake)
        try:
            await waiting
        finally:
            late.cancel()

    def _take(self, message: Msg) -> None:
        if message.reply:  # where it is acknowledged; what JetStream itself says has none
            self._due -= 1
            self._came.append(message)
        else:
            self._due = 0
            if (message.headers or {}).get("Status") not in OVER:
                self._refused = message
        self._wake()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)
