"""How a message travels: CloudEvents 1.0 in binary mode, attributes as NATS headers.

The payload is the JSON of one `Event` class; `ce-id` doubles as `Nats-Msg-Id`, so that a repeated
publish is recognised by JetStream within its window and by the consumer's inbox for ever.
"""

from datetime import UTC, datetime
from typing import ClassVar, TypeVar
from uuid import UUID

import msgspec

from shared.ids import derived_id

E = TypeVar("E", bound="Event")


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """A fact or a request on the bus. Additive only: fields are never renamed, retyped or made required."""

    SUBJECT: ClassVar[str]

    def subject_id(self) -> str:
        """The entity the event speaks of: CloudEvents `subject`, readable even when the payload is not."""
        raise NotImplementedError

    def event_id(self) -> UUID:
        """The same cause always gives the same id; override where one entity has several such events."""
        return derived_id(self.SUBJECT, self.subject_id())


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """An encoded event, ready for the wire or for an outbox row."""

    subject: str
    event_id: UUID
    headers: dict[str, str]
    payload: bytes


def seal(event: Event, *, source: str, now: datetime, trace: dict[str, str] | None = None) -> Envelope:
    """Encodes `event` as it is published by the service `source`."""
    event_id = event.event_id()
    identity = str(event_id)
    headers = {
        "ce-specversion": "1.0",
        "ce-id": identity,
        "Nats-Msg-Id": identity,
        "ce-type": event.SUBJECT,
        "ce-source": f"/services/{source}",
        "ce-subject": event.subject_id(),
        "ce-time": msgspec.to_builtins(now.astimezone(UTC)),
        "content-type": "application/json",
        **(trace or {}),
    }
    return Envelope(subject=event.SUBJECT, event_id=event_id, headers=headers, payload=msgspec.json.encode(event))


def unseal(cls: type[E], payload: bytes) -> E:
    """Raises `msgspec.MsgspecError` when the payload is not such an event. Unknown fields are ignored."""
    return msgspec.json.decode(payload, type=cls)
