"""Reading a stream in its order and without a gap: on and on, or a piece of its past."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress

import nats
from nats.aio.msg import Msg

from shared.bus import Bus, taking
from shared.nats_client import delivered_as
from shared.topology import add_reader, reader_config

# How often a silent reader is compared with what the server says that it sent.
CHECK_SECONDS = 10.0
RETRY_SECONDS = 1.0
FETCH_MESSAGES = 256
FETCH_SECONDS = 5.0

log = logging.getLogger(__name__)


class Follower:
    """Hands every message after `position`, with its own, to `heard`, over outages and losses on the way.

    The client's own ordered consumer begins again with the first message of the stream when it meets an outage
    before it was given any; this one goes on from `position`.
    """

    def __init__(
        self,
        bus: Bus,
        stream: str,
        subjects: Sequence[str],
        heard: Callable[[int, Msg], None],
        began_anew: Callable[[], None],
    ) -> None:
        self.stream, self.subjects = stream, subjects
        self.position = 0
        self._bus, self._heard, self._began_anew = bus, heard, began_anew
        self._expected = 1
        self._created: object = None
        self._broken = asyncio.Event()
        bus.on_reconnect.append(self._read_again)

    async def run(self) -> None:
        """Runs until cancelled."""
        while True:
            try:
                await self._read()
            except (nats.errors.Error, OSError) as error:
                log.warning("%s is not heard: %s", self.stream, error or type(error).__name__)
                await asyncio.sleep(RETRY_SECONDS)

    async def last(self) -> int:
        """The newest position that the stream has."""
        state = (await self._bus.js.stream_info(self.stream)).state
        return state.last_seq

    async def _read_again(self) -> None:
        """The server forgets its readers when it restarts."""
        self._broken.set()

    async def _read(self) -> None:
        """Until something is missing."""
        self._broken.clear()
        self._expected = 1
        await self._check_life()
        nc, js = self._bus.nc, self._bus.js
        inbox = nc.new_inbox()
        subscription = await nc.hear(inbox, "", taking(self._message))
        try:
            reader = await add_reader(js, self.stream, self.subjects, self.position, inbox)
            while not self._broken.is_set():
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._broken.wait(), CHECK_SECONDS)
                    return
                before = self._expected
                sent = (await js.consumer_info(self.stream, reader)).delivered
                if sent is not None and sent.consumer_seq >= self._expected and self._expected == before:
                    log.warning("%s: message %d was sent and never came", self.stream, sent.stream_seq)
                    return
        finally:
            with suppress(nats.errors.Error, OSError):
                await subscription.unsubscribe()

    async def _check_life(self) -> None:
        """A stream that was lost and declared again counts from one, and may be longer by now than the old one was."""
        info = await self._bus.js.stream_info(self.stream)
        if self._created not in (None, info.created) or info.state.last_seq < self.position:
            log.warning("%s began anew", self.stream)
            self.position = 0
            self._began_anew()
        self._created = info.created

    def _message(self, message: Msg) -> None:
        _, sequence, number = delivered_as(message)
        if self._broken.is_set() or number != self._expected:
            self._broken.set()
            return
        self._expected += 1
        self.position = sequence
        self._heard(sequence, message)


async def past(bus: Bus, stream: str, subjects: Sequence[str], after: int, until: int) -> AsyncIterator[Msg]:
    """What the stream holds of the subjects, after one position and up to another. Raises `nats.errors.Error`."""
    reader = await bus.js.pull_subscribe(subjects[0], stream=stream, config=reader_config(subjects, after))
    try:
        pending = (await reader.consumer_info()).num_pending or 0
        while pending:
            for message in await reader.fetch(min(pending, FETCH_MESSAGES), timeout=FETCH_SECONDS):
                pending = message.metadata.num_pending
                if message.metadata.sequence.stream > until:
                    return
                yield message
    finally:
        with suppress(nats.errors.Error, OSError):
            await reader.unsubscribe()
