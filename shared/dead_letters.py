"""What the workers gave up: the stream DEAD, read newest first, and sent again once the cause is gone."""

import asyncio
from collections.abc import Iterable
from datetime import datetime

import msgspec
from nats.js import JetStreamContext
from nats.js.api import RawStreamMsg
from nats.js.errors import NotFoundError

STREAM = "DEAD"
REASON = "precedent-reason"
# Numbers that were sent again or have expired are passed over, so many at a time and so many in one call.
AT_ONCE = 32
MOST_LOOKS = 1024


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """`number` is its place in DEAD, `about` the entity that the message speaks of, where it says so."""

    number: int
    service: str
    subject: str
    about: str | None
    event_id: str | None
    reason: str | None
    at: datetime | None
    bytes: int


def letter(message: RawStreamMsg) -> Letter:
    headers = message.headers or {}
    service, subject = _origin(message)
    return Letter(
        number=message.seq or 0,
        service=service,
        subject=subject,
        about=headers.get("ce-subject"),
        event_id=headers.get("ce-id"),
        reason=headers.get(REASON),
        at=message.time,
        bytes=len(message.data or b""),
    )


def _origin(message: RawStreamMsg) -> tuple[str, str]:
    """`dead.<service>.<subject>`; whoever else publishes there may leave something out."""
    _, service, subject, *_ = [*(message.subject or "").split(".", 2), "", ""]
    return service, subject


async def letters(js: JetStreamContext, before: int | None, limit: int) -> tuple[list[Letter], int | None]:
    """The newest first, of the numbers below `before`, and where to go on: None after the oldest.

    Fewer than `limit` do not mean the end: a wide gap is crossed in several calls.
    """
    state = (await js.stream_info(STREAM)).state
    top = state.last_seq if before is None else min(before - 1, state.last_seq)
    first = max(state.first_seq, 1)  # 0 before there was any
    oldest = max(first, top - MOST_LOOKS + 1)
    found: list[Letter] = []
    while top >= oldest and len(found) < limit:
        numbers = range(top, max(oldest, top - AT_ONCE + 1) - 1, -1)
        found += [letter(message) for message in await _present(js, numbers)]
        top = numbers[-1] - 1
    following = found[limit - 1].number if len(found) >= limit else top + 1
    return found[:limit], following if following > first else None


async def _present(js: JetStreamContext, numbers: Iterable[int]) -> list[RawStreamMsg]:
    found = await asyncio.gather(*(_find(js, number) for number in numbers))
    return [message for message in found if message is not None]


async def _find(js: JetStreamContext, number: int) -> RawStreamMsg | None:
    try:
        return await js.get_msg(STREAM, number)
    except NotFoundError:
        return None


async def replay(js: JetStreamContext, number: int) -> Letter | None:
    """Sends the letter to where it came from and takes it out of DEAD; None when there is no such letter.

    Every consumer of the subject hears it, and knows what it has. Two who replay at once send one message.
    """
    message = await _find(js, number)
    if message is None:
        return None
    headers = {name: value for name, value in (message.headers or {}).items() if not name.startswith("precedent-")}
    # Another message for JetStream, the same event for the consumer.
    headers["Nats-Msg-Id"] = f"replay-{number}-{message.time}"
    sent = letter(message)
    await js.publish(sent.subject, message.data or b"", headers=headers)
    await js.delete_msg(STREAM, number)
    return sent
