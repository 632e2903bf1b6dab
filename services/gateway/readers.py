"""The readers of `/v1/events`: where each of them is, what it is sent next, and when it has to go."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from functools import partial

import msgspec
import nats
from nats.aio.msg import Msg
from prometheus_client import CollectorRegistry, Counter, Gauge

from services.gateway.events import (
    HEARD,
    STREAMS,
    Feed,
    Frame,
    Heard,
    Position,
    Wanted,
    advanced,
    frame,
    line_of,
    reached,
)
from services.gateway.follower import Follower, past
from services.gateway.problems import ApiError, bus_unavailable
from shared.bus import Bus
from shared.nats_client import delivered_as

# Proxies cut off what is silent for a minute, and a client takes a minute's silence for a dead server.
HEARTBEAT_SECONDS = 15.0
# A revoked key stops within a second, also here.
CHECK_KEYS_SECONDS = 0.5
RETRY_MILLISECONDS = 1000
AT_ONCE = 256
# Of the past, so many messages of each stream are at hand when a gateway starts and its clients come back.
LOOK_BACK_MESSAGES = 5_000
# A reader from further back reads the log itself, and only so many do at a time.
CATCHING_UP = 8
MOST_READERS = 5_000
ANEW = "anew"

Authenticate = Callable[[str | None], Awaitable[object]]


class Readers:
    """One consumer a stream and one encoding an event, however many read. `run` lasts until it is cancelled."""

    def __init__(self, bus: Bus, registry: CollectorRegistry, authenticate: Authenticate) -> None:
        self.bus = bus
        self.feed = Feed()
        self.catching_up = asyncio.Semaphore(CATCHING_UP)
        self._authenticate = authenticate
        self._present: set[Reader] = set()
        self._followers = [
            Follower(
                bus,
                name,
                [cls.SUBJECT for cls in HEARD[name]],
                partial(self._heard, number),
                partial(self._begin_anew, number),
            )
            for number, name in enumerate(STREAMS)
        ]
        self._open_streams = Gauge("event_streams", "Clients of /v1/events.", registry=registry)
        self._ended = Counter("event_streams_ended", "Why clients were let go.", ("reason",), registry=registry)

    def _heard(self, stream: int, sequence: int, message: Msg) -> None:
        self.feed.add(stream, sequence, message.subject, message.data)

    def _open(self) -> None:
        self.feed.open(tuple(follower.position for follower in self._followers))

    def _begin_anew(self, stream: int) -> None:
        self._open()
        for reader in self._present:
            reader.begin_anew(stream)

    async def run(self) -> None:
        for follower in self._followers:
            follower.position = max(0, await follower.last() - LOOK_BACK_MESSAGES)
        self._open()
        await asyncio.gather(*(follower.run() for follower in self._followers), self._check_keys())

    @property
    def count(self) -> int:
        return len(self._present)

    async def _check_keys(self) -> None:
        """Asks once for each key, however many read with it."""
        while True:
            await asyncio.sleep(CHECK_KEYS_SECONDS)
            for header in {reader.header for reader in self._present}:
                try:
                    await self._authenticate(header)
                except ApiError as error:
                    if error.status == 401:
                        self.let_go("key", header)

    def let_go(self, reason: str, header: str | None = None) -> None:
        """Ends the streams of that key, or all of them."""
        for reader in self._present:
            if header in (None, reader.header):
                reader.end(reason)

    async def admit(self, header: str, wanted: Wanted, position: Position | None) -> "Reader":
        """`position` is what the client has heard; None begins now. Raises `ApiError` 503."""
        if not self.feed.opened.is_set():
            raise bus_unavailable()
        if len(self._present) >= MOST_READERS:
            raise ApiError(503, "too_many_streams", "this gateway has no room for another reader")
        heard = self.feed.head if position is None else await self._known(position)
        reader = Reader(self, header, wanted, heard)
        self._present.add(reader)
        self.feed.readers.add(reader.wake)
        self._open_streams.inc()
        return reader

    async def _known(self, position: Position) -> Position:
        """A position that a stream never reached is of another stream's life: all of this one is new."""
        for number, follower in enumerate(self._followers):
            if position[number] > self.feed.head[number]:
                try:
                    last = await follower.last()
                except (nats.errors.Error, OSError) as error:
                    raise bus_unavailable() from error
                if position[number] > last:
                    position = advanced(position, number, 0)
        return position

    def leave(self, reader: "Reader") -> None:
        if reader in self._present:
            self._present.remove(reader)
            self.feed.readers.discard(reader.wake)
            self._open_streams.dec()
            self._ended.labels(reader.ended or "client").inc()


class Reader:
    """One client: its place in the streams is all that is kept for it."""

    def __init__(self, readers: Readers, header: str, wanted: Wanted, position: Position) -> None:
        self.header = header
        self.wake = asyncio.Event()
        self.ended: str | None = None
        self._readers, self._feed, self._wanted = readers, readers.feed, wanted
        self._position = position
        # Once it is nowhere ahead of the shared order, what was encoded for everybody is right for it too.
        self._level = False

    def end(self, reason: str) -> None:
        self.ended = self.ended or reason
        self.wake.set()

    def begin_anew(self, stream: int) -> None:
        """The client comes back with an id of before the first event of that stream."""
        self._position = advanced(self._position, stream, 0)
        self.end(ANEW)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Complete events and heartbeats, until the reader has to go; the client then comes back with its last id."""
        yield b"retry: %d\n%s\n" % (RETRY_MILLISECONDS, line_of(self._position))
        async for wire in self._past():
            yield wire
        place = self._feed.place_of(self._position)
        while self.ended is None:
            if not self._feed.holds(place):
                self.end("slow")
                return
            self.wake.clear()
            frames = self._feed.since(place, AT_ONCE)
            place += len(frames)
            if text := b"".join(self._lines(frames)):
                yield text
            if not frames and not await self._woken():
                yield line_of(self._position) + b": still here\n\n"
        if self.ended == ANEW:
            yield line_of(self._position) + b": a stream began anew\n\n"

    async def _woken(self) -> bool:
        try:
            async with asyncio.timeout(HEARTBEAT_SECONDS):
                return await self.wake.wait()
        except TimeoutError:
            return False

    async def _past(self) -> AsyncIterator[bytes]:
        """What the gateway itself has no more, from the log."""
        while behind := [n for n, at in enumerate(self._position) if at < self._feed.floor[n]]:
            async with self._readers.catching_up:
                for number in behind:
                    async for wire in self._past_of(number, self._feed.floor[number]):
                        yield wire

    async def _past_of(self, number: int, until: int) -> AsyncIterator[bytes]:
        subjects = [cls.SUBJECT for cls in HEARD[STREAMS[number]]]
        messages = past(self._readers.bus, STREAMS[number], subjects, self._position[number], until)
        async for message in messages:
            sequence = delivered_as(message).stream_sequence
            position = advanced(self._position, number, sequence)
            try:
                made = frame(Heard(number, sequence, position, message.subject, message.data))
            except msgspec.MsgspecError:
                continue
            self._position = made.position
            if self._wanted.takes(made):
                yield made.wire
        self._position = advanced(self._position, number, until)

    def _lines(self, frames: Sequence[Frame]) -> Iterator[bytes]:
        for made in frames:
            if made.sequence <= self._position[made.stream]:
                continue
            self._level = self._level or reached(made.position, self._position)
            self._position = made.position if self._level else advanced(self._position, made.stream, made.sequence)
            if self._wanted.takes(made):
                yield made.wire if self._level else line_of(self._position) + made.body
