"""Work that is read ahead: while some of a subject's messages are written, the next are made ready.

For what comes with every fix, live or imported: FastStream fetches again only when all that it has fetched is
acknowledged, and what it does around a handler takes a tenth of a fix's processor time.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

import nats
from faststream.exceptions import NackMessage, RejectMessage
from nats.aio.msg import Msg

from shared.bus import BATCH_SIZE, PULL_SECONDS, Bus
from shared.durable import Durable
from shared.topology import Work, work

# As many as are written at once, and as many that wait for their turn.
MOST_IN_HAND = 256
AGAIN_SECONDS = 0.5
GATHER_SECONDS = 0.1
STOP_SECONDS = 0.2
# Longer than another service takes for a group: it does get on, if slowly.
LOOK_SECONDS = 1.0

log = logging.getLogger(__name__)


async def at_once() -> None:
    pass


async def gathered() -> None:
    """For what nobody waits for: more come together then, and are written with one statement."""
    await asyncio.sleep(GATHER_SECONDS)


class Pull:
    """`handle` ends with nothing, or with one of FastStream's two verdicts, as `Delivery.of` makes it.

    `turn` is awaited before each fetch.
    """

    def __init__(
        self,
        bus: Bus,
        subject: str,
        handle: Callable[[Msg], Awaitable[None]],
        turn: Callable[[], Awaitable[None]] = at_once,
    ) -> None:
        self._bus, self._subject, self._handle, self._turn = bus, subject, handle, turn
        self._in_hand: set[asyncio.Task[None]] = set()
        self._reading: asyncio.Task[None] | None = None
        self._stopping = self._draining = False

    async def run(self) -> None:
        """Until cancelled; what was read is handled first."""
        while not self._draining:
            self._stopping = False
            self._reading = asyncio.create_task(self._read())
            try:
                await asyncio.wait({self._reading})
            finally:
                await self._finish()
            if not self._reading.cancelled() and (error := self._reading.exception()):
                log.warning("%s cannot be read, it tries again: %r", self._subject, error)
            await asyncio.sleep(AGAIN_SECONDS)

    async def drain(self) -> None:
        """Reads no further, and returns when all that was read is handled."""
        self._draining = True
        await self._finish()

    async def _finish(self) -> None:
        """What JetStream has sent is handled too; cut off from it, the rest would be handled after `ack_wait`."""
        self._stopping = True
        while self._reading is not None and not self._reading.done():
            await asyncio.wait({self._reading}, timeout=STOP_SECONDS)
            self._reading.cancel()
        if self._in_hand:
            await asyncio.wait(set(self._in_hand))

    async def _read(self) -> None:
        """Until cancelled. Raises what NATS says where the consumer cannot be read at all."""
        item = work(self._bus.service, self._subject)
        durable = Durable(self._bus.nc, item.stream, item.durable)
        try:
            while not self._stopping:
                await self._turn()
                await self._take(await self._fetched(durable))
        finally:
            for message in await durable.close():
                self._begin(message)

    async def _fetched(self, durable: Durable) -> list[Msg]:
        try:
            return await durable.fetch(BATCH_SIZE, PULL_SECONDS)
        except (nats.errors.Error, OSError):
            await asyncio.sleep(AGAIN_SECONDS)
            return []

    async def _take(self, messages: list[Msg]) -> None:
        """In their order, one a turn of the loop: what Postgres has answered meanwhile need not wait for all of them.

        Returns when there is room for as many again.
        """
        waiting = iter(messages)
        try:
            for message in waiting:
                self._begin(message)
                await asyncio.sleep(0)
        finally:
            # Cut off, what was read is handled all the same.
            for message in waiting:
                self._begin(message)
        while len(self._in_hand) > MOST_IN_HAND - BATCH_SIZE:
            await asyncio.wait(set(self._in_hand), return_when=asyncio.FIRST_COMPLETED)

    def _begin(self, message: Msg) -> None:
        task = asyncio.create_task(self._settle(message))
        self._in_hand.add(task)
        task.add_done_callback(self._in_hand.discard)

    async def _settle(self, message: Msg) -> None:
        """A verdict that does not arrive is none: the message comes again, and is recognised."""
        try:
            await self._acknowledge(message)
        except (nats.errors.Error, OSError):
            log.warning("%s: NATS did not hear what became of a message; it comes again", self._subject)

    async def _acknowledge(self, message: Msg) -> None:
        try:
            await self._handle(message)
        except NackMessage as verdict:
            await message.nak(**verdict.extra_options)
        except RejectMessage:
            await message.term()
        else:
            await message.ack()


class After:
    """The turn of whoever lets another service do its work first, where both share the processor.

    Nobody starves: it ends after `most_seconds`, and at once when the other has nothing to do or does not get on.
    """

    def __init__(self, bus: Bus, first: Work, most_seconds: float) -> None:
        self._bus, self._first, self._most_seconds = bus, first, most_seconds

    async def __call__(self) -> None:
        until, before = time.monotonic() + self._most_seconds, None
        while time.monotonic() < until:
            try:
                info = await self._bus.js.consumer_info(self._first.stream, self._first.durable)
            except (nats.errors.Error, OSError):
                return
            done = info.ack_floor and info.ack_floor.consumer_seq
            if not (info.num_pending or info.num_ack_pending) or done == before:
                return
            before = done
            await asyncio.sleep(LOOK_SECONDS)
