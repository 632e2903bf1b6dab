"""Many messages into one stream at once, all or none of them: JetStream then syncs once for all (NATS ADR-50).

One by one each is synced by itself, and a disk does few hundred to few thousand of those a second.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from uuid import uuid4

import msgspec
import nats
from nats.aio.client import Client

from shared.contracts.envelope import Envelope

# JetStream takes at most 1,000 messages at a time.
MOST_MESSAGES = 256
MOST_BYTES = 4 << 20
# A batch has files of its own, which are synced too: fewer are sent one by one.
FEWEST_MESSAGES = 4
COMMIT_SECONDS = 5.0
# What JetStream keeps of it on each message; sent again, the message would be of a batch that is over.
HEADERS = ("Nats-Batch-Id", "Nats-Batch-Sequence", "Nats-Batch-Commit")


class Committed(msgspec.Struct, frozen=True):
    count: int = 0
    error: msgspec.Raw | None = None


def batches(envelopes: Sequence[Envelope]) -> Iterator[list[Envelope]]:
    """In order; each for one stream, which the subject's first word tells."""
    for _, group in groupby(envelopes, lambda envelope: envelope.subject.split(".")[0]):
        taken: list[Envelope] = []
        size = 0
        for envelope in group:
            size += len(envelope.payload)
            if taken and (len(taken) == MOST_MESSAGES or size > MOST_BYTES):
                yield taken
                taken, size = [], len(envelope.payload)
            taken.append(envelope)
        yield taken


async def publish_batch(client: Client, envelopes: Sequence[Envelope]) -> bool:
    """Whether JetStream has all of them on disk. If not, it may have none, be an older one, or know some already.

    Sent one by one they are then right in any case: none is taken twice.
    """
    identity = uuid4().hex
    sealed = [
        e.headers | {"Nats-Batch-Id": identity, "Nats-Batch-Sequence": str(number)}
        for number, e in enumerate(envelopes, 1)
    ]
    try:
        for envelope, headers in zip(envelopes[:-1], sealed[:-1], strict=True):
            await client.publish(envelope.subject, envelope.payload, headers=headers)
        last = envelopes[-1]
        headers = sealed[-1] | {"Nats-Batch-Commit": "1"}
        reply = await client.request(last.subject, last.payload, timeout=COMMIT_SECONDS, headers=headers)
        committed = msgspec.json.decode(reply.data, type=Committed)
    except (nats.errors.Error, msgspec.MsgspecError):
        return False
    return committed.error is None and committed.count == len(envelopes)
