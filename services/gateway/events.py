"""What clients of `/v1/events` hear: which events, with which fields, and the place of each in all the streams."""

import asyncio
import logging
import re
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

import msgspec

from services.gateway.problems import invalid
from shared.contracts.envelope import Event
from shared.contracts.fixes import FixCategorized, FixScored, OutcomeRecorded
from shared.contracts.knowledge import CollaborationChanged, LearningChanged, PatternDetected
from shared.contracts.models import ModelPromoted, ModelTrained, TrainingProgressed

# By stream, in the order of an id's numbers: a new stream is put at the end.
HEARD: dict[str, tuple[type[Event], ...]] = {
    "FIXES": (FixScored, FixCategorized, OutcomeRecorded),
    "KNOWLEDGE": (LearningChanged, CollaborationChanged, PatternDetected),
    "MODELS": (TrainingProgressed, ModelTrained, ModelPromoted),
}
STREAMS = tuple(HEARD)
CLASSES = {cls.SUBJECT: cls for classes in HEARD.values() for cls in classes}
# Ids, numbers and words of closed sets leave the gateway this way; what somebody wrote does not.
WRITTEN = frozenset({"status_reason", "refused_reason", "reason", "label"})

# Some 400 bytes each. Whoever resumes within them costs the log nothing.
RECENT_EVENTS = 10_000
# Events of a moment go out together, so that a burst wakes a thousand readers once.
TOGETHER_SECONDS = 0.005
ID = re.compile(r"\d{1,18}(?:\.\d{1,18}){0,15}")

Position = tuple[int, ...]

log = logging.getLogger(__name__)


def type_of(cls: type[Event]) -> str:
    return cls.SUBJECT.removesuffix(".v1")


TYPES = tuple(type_of(cls) for cls in CLASSES.values())


def id_of(position: Position) -> str:
    return ".".join(map(str, position))


def parse_id(text: str, now: Position) -> Position:
    """The position that an id names; a stream that it does not know yet is heard from now on."""
    if not ID.fullmatch(text):
        raise invalid("Last-Event-ID", "not an id of this stream of events; leave it out to begin now")
    numbers = tuple(int(number) for number in text.split("."))[: len(now)]
    return numbers + now[len(numbers) :]


def advanced(position: Position, stream: int, sequence: int) -> Position:
    return (*position[:stream], sequence, *position[stream + 1 :])


class Heard(msgspec.Struct, frozen=True, gc=False):
    """An event as it came. `position` is the place in all streams once it was heard."""

    stream: int
    sequence: int
    position: Position
    subject: str
    payload: bytes


class Frame(msgspec.Struct, frozen=True, kw_only=True):
    """An event, encoded once for everybody."""

    stream: int
    sequence: int
    position: Position
    type: str
    agent_id: str | None
    repository: str | None
    fix_id: str | None
    body: bytes
    wire: bytes


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What one client asked for; None and the empty set stand for everything."""

    types: frozenset[str] = frozenset()
    agent_id: str | None = None
    repository: str | None = None
    fix_id: str | None = None

    def takes(self, frame: Frame) -> bool:
        return (
            (not self.types or frame.type in self.types)
            and self.agent_id in (None, frame.agent_id)
            and self.repository in (None, frame.repository)
            and self.fix_id in (None, frame.fix_id)
        )


def frame(heard: Heard) -> Frame:
    """Raises `msgspec.MsgspecError` when the payload is no such event."""
    event = msgspec.json.decode(heard.payload, type=CLASSES[heard.subject])
    told: dict[str, Any] = {k: v for k, v in msgspec.to_builtins(event).items() if k not in WRITTEN}
    kind = type_of(type(event))
    body = b"event: %s\ndata: %s\n\n" % (kind.encode(), msgspec.json.encode(told))
    return Frame(
        stream=heard.stream,
        sequence=heard.sequence,
        position=heard.position,
        type=kind,
        agent_id=told.get("agent_id"),
        repository=told.get("repository"),
        fix_id=event.subject_id() if STREAMS[heard.stream] == "FIXES" else None,
        body=body,
        wire=line_of(heard.position) + body,
    )


def line_of(position: Position) -> bytes:
    return b"id: %s\n" % id_of(position).encode()


class Feed:
    """The latest events, shared by all readers, who each keep nothing but their place in it."""

    def __init__(self, most: int = RECENT_EVENTS) -> None:
        self.opened = asyncio.Event()
        self.head: Position = (0,) * len(STREAMS)
        # Everything after this is in `_events`.
        self.floor: Position = self.head
        self.readers: set[asyncio.Event] = set()
        self._most = most
        # Encoded when somebody reads it: of an import with nobody there, none is.
        self._events: list[Heard | Frame] = []
        # How many of them were let go, so that a place stays the same number.
        self._gone = 0
        self._waking: asyncio.TimerHandle | None = None

    def open(self, position: Position) -> None:
        """Also after a stream began anew; nobody who reads may stay then."""
        self.head = self.floor = position
        self._gone += len(self._events)
        self._events.clear()
        self.opened.set()

    def add(self, stream: int, sequence: int, subject: str, payload: bytes) -> None:
        self.head = advanced(self.head, stream, sequence)
        self._events.append(Heard(stream, sequence, self.head, subject, payload))
        if len(self._events) >= 2 * self._most:
            self._forget(len(self._events) - self._most)
        if self.readers and self._waking is None:
            self._waking = asyncio.get_running_loop().call_later(TOGETHER_SECONDS, self.wake)

    def _forget(self, count: int) -> None:
        self.floor = self._events[count - 1].position
        self._gone += count
        del self._events[:count]

    def wake(self) -> None:
        self._waking = None
        for reader in self.readers:
            reader.set()

    def place_of(self, position: Position) -> int:
        """Where someone goes on who has heard everything up to `position`."""
        return self._gone + bisect_left(self._events, True, key=lambda e: not reached(position, e.position))

    def holds(self, place: int) -> bool:
        return place >= self._gone

    def since(self, place: int, most: int) -> Sequence[Frame]:
        start = place - self._gone
        found = [told(event) if isinstance(event, Heard) else event for event in self._events[start : start + most]]
        self._events[start : start + most] = found
        return found


def told(heard: Heard) -> Frame:
    """What cannot be read is not told to anyone."""
    try:
        return frame(heard)
    except msgspec.MsgspecError as error:
        log.warning("%s number %d is not told to anyone: %s", STREAMS[heard.stream], heard.sequence, error)
        return Frame(
            stream=heard.stream, sequence=heard.sequence, position=heard.position, type="", agent_id=None,
            repository=None, fix_id=None, body=b"", wire=b"",
        )  # fmt: skip


def reached(position: Position, other: Position) -> bool:
    """Whether `position` is at or after `other` in every stream."""
    return all(mine >= theirs for mine, theirs in zip(position, other, strict=True))
