"""A durable consumer read by one open request at a time, against a real server, also where that goes away."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import nats
import pytest
from nats.js.api import ConsumerConfig

from shared.durable import Durable
from shared.nats_client import NatsClient
from tests.outages import Frail
from tests.servers import Servers
from tests.world import eventually

STREAM, SUBJECT, DURABLE = "DURABLE", "durable.test", "reader"


async def connected(url: str) -> NatsClient:
    client = NatsClient()
    await client.connect(url, max_reconnect_attempts=-1, reconnect_time_wait=0.1)
    js = client.jetstream()
    await js.add_stream(name=STREAM, subjects=[SUBJECT])
    await js.add_consumer(STREAM, ConsumerConfig(durable_name=DURABLE, ack_wait=60))
    return client


@pytest.fixture
async def client(servers: Servers) -> AsyncIterator[NatsClient]:
    made = await connected(servers.nats_url)
    yield made
    await made.jetstream().delete_stream(STREAM)
    await made.close()


async def say(client: NatsClient, *numbers: int) -> None:
    for number in numbers:
        await client.jetstream().publish(SUBJECT, b"%d" % number)


async def read(durable: Durable, count: int, most: int) -> list[int]:
    found: list[int] = []
    async with asyncio.timeout(10):
        while len(found) < count:
            for message in await durable.fetch(most, 1):
                await message.ack()
                found.append(int(message.data))
    return found


async def test_all_comes_once_and_in_order_however_much_is_asked_for_at_a_time(client: NatsClient) -> None:
    durable = Durable(client, STREAM, DURABLE)
    await say(client, *range(50))
    assert await read(durable, 50, 8) == [*range(50)]
    await say(client, *range(50, 60))
    assert await read(durable, 10, 64) == [*range(50, 60)]
    assert await durable.close() == []


async def test_what_was_asked_for_and_has_not_come_is_not_asked_for_again(client: NatsClient) -> None:
    durable = Durable(client, STREAM, DURABLE)
    await say(client, 1)
    assert await read(durable, 1, 64) == [1]
    await say(client, 2)
    assert await read(durable, 1, 64) == [2]
    info = await client.jetstream().consumer_info(STREAM, DURABLE)
    assert info.num_waiting == 1
    await durable.close()


async def test_nothing_comes_for_so_long_and_then_something(client: NatsClient) -> None:
    durable = Durable(client, STREAM, DURABLE)
    assert await durable.fetch(64, 0.2) == []
    await say(client, 1)
    assert await read(durable, 1, 64) == [1]
    await durable.close()


async def test_what_comes_while_the_question_still_goes_out_is_there_at_once(
    client: NatsClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the server takes no more for a moment."""
    durable, publish = Durable(client, STREAM, DURABLE), client.publish
    await say(client, 1)

    async def slowly(*said: Any) -> None:
        await publish(*said)
        await asyncio.sleep(0.3)

    monkeypatch.setattr(client, "publish", slowly)
    async with asyncio.timeout(3):
        [message] = await durable.fetch(64, 10)
    assert message.data == b"1"
    await durable.close()


async def test_who_leaves_gets_what_is_on_its_way_and_nothing_is_open_any_more(client: NatsClient) -> None:
    durable = Durable(client, STREAM, DURABLE)
    assert await durable.fetch(64, 0.1) == []
    fetching = asyncio.create_task(durable.fetch(64, 5))
    await asyncio.sleep(0.1)
    fetching.cancel()
    await say(client, 1, 2)
    assert [m.data for m in await durable.close()] == [b"1", b"2"]
    await say(client, 3)
    await asyncio.sleep(0.1)
    info = await client.jetstream().consumer_info(STREAM, DURABLE)
    assert (info.num_pending, info.num_ack_pending) == (1, 2)


async def test_a_consumer_that_is_not_there_is_said_to_be_so(client: NatsClient) -> None:
    durable = Durable(client, STREAM, "nobody")
    with pytest.raises(nats.errors.Error):
        await durable.fetch(64, 1)
    await durable.close()


async def test_after_an_outage_it_reads_on(outages: Frail) -> None:
    client = await connected(outages.nats_url)
    durable = Durable(client, STREAM, DURABLE)
    await say(client, 1)
    assert await read(durable, 1, 64) == [1]
    await outages.stop("nats")
    await eventually(lambda: asyncio.sleep(0, not client.is_connected))
    await outages.start("nats")
    await eventually(lambda: asyncio.sleep(0, client.is_connected), 20)
    await say(client, 2)
    assert await read(durable, 1, 64) == [2]
    await durable.close()
    await client.close()
