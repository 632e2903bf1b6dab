"""What operators get: the state of the log and of the work on it."""

import msgspec

from services.gateway.views import Instant


class StreamView(msgspec.Struct, frozen=True, kw_only=True):
    """One stream of the log; once `bytes` comes near `max_bytes`, new fixes are refused."""

    name: str
    messages: int
    bytes: int
    max_bytes: int | None
    last_sequence: int


class ConsumerView(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of work. `lag` waits for a worker; `in_hand` is with one, not acknowledged yet."""

    consumer: str
    service: str
    stream: str
    subject: str
    lag: int
    in_hand: int
    redelivered: int


class Operations(msgspec.Struct, frozen=True, kw_only=True):
    """`pool` and `event_streams` are this gateway's own."""

    checks: dict[str, str]
    streams: list[StreamView]
    consumers: list[ConsumerView]
    dead_letters: int
    pool: dict[str, int]
    event_streams: int
    flags: dict[str, bool]


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A message that a worker gave up, without its content. `entity_id` is what it speaks of."""

    id: int
    service: str
    subject: str
    entity_id: str | None
    event_id: str | None
    reason: str | None
    dead_at: Instant | None
    bytes: int


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    id: int
    subject: str
    status: str = "accepted"
