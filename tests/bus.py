"""What the tests say and hear on the bus, next to the services."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from nats.errors import TimeoutError as NothingMore
from nats.js.api import ConsumerConfig, DeliverPolicy
from nats.js.client import JetStreamContext

from shared.contracts.envelope import Event, seal
from shared.contracts.fixes import FixSubmitted
from shared.ids import new_id
from tests.diffs import diff
from tests.world import World

MOST_MESSAGES = 1000


def submitted(**fields: Any) -> FixSubmitted:
    """As the gateway would put it on the bus."""
    plain: dict[str, Any] = {
        "id": new_id(),
        "principal": "owner",
        "agent_id": "claude",
        "repository": "acme/shop",
        "diff": diff(),
    }
    return FixSubmitted(**plain | {"submitted_at": datetime.now(UTC)} | fields)


async def say(world: World, *events: Event, headers: Mapping[str, str] | None = None) -> None:
    js = world.nats.jetstream()
    for event in events:
        envelope = seal(event, source="test", now=datetime.now(UTC))
        await js.publish(envelope.subject, envelope.payload, headers=envelope.headers | dict(headers or {}))


async def said(world: World, stream: str, subject: str = ">") -> list[Any]:
    """Every message that the stream holds of the subject, oldest first."""
    js: JetStreamContext = world.nats.jetstream()
    info = await js.stream_info(stream, subjects_filter=subject)
    count = sum((info.state.subjects or {}).values())
    assert count < MOST_MESSAGES
    if not count:
        return []
    config = ConsumerConfig(filter_subject=subject, deliver_policy=DeliverPolicy.ALL)
    subscription = await js.subscribe(subject, stream=stream, config=config, ordered_consumer=True)
    try:
        return [await subscription.next_msg(timeout=5) for _ in range(count)]
    except NothingMore:
        raise AssertionError(f"{stream} promised {count} messages of {subject} and held some back") from None
    finally:
        await subscription.unsubscribe()


async def unfinished(world: World, durable: str, stream: str = "FIXES") -> tuple[int, int]:
    """(never delivered, delivered and not acknowledged)."""
    info = await world.nats.jetstream().consumer_info(stream, durable)
    return info.num_pending or 0, info.num_ack_pending or 0
