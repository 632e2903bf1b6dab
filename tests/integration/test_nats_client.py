"""The client that goes around nats-py's waiting rooms, against a real server, also where that goes away."""

import asyncio
from collections.abc import AsyncIterator, Callable

import nats
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from shared.nats_client import NatsClient, delivered_as
from tests.outages import Frail
from tests.servers import Servers
from tests.world import eventually

SUBJECT = "test.echo"


async def connected(url: str) -> NatsClient:
    client = NatsClient()
    await client.connect(url, max_reconnect_attempts=-1, reconnect_time_wait=0.1)
    return client


def echo(client: NatsClient) -> Callable[[Msg], None]:
    tasks = set()

    def take(message: Msg) -> None:
        tasks.add(asyncio.create_task(message.respond(message.data)))

    return take


@pytest.fixture
async def client(servers: Servers) -> AsyncIterator[NatsClient]:
    made = await connected(servers.nats_url)
    yield made
    await made.close()


async def test_a_question_finds_its_own_answer_among_many(client: NatsClient) -> None:
    await client.hear(SUBJECT, "test", echo(client))
    asked = [str(n).encode() for n in range(500)]
    answers = await asyncio.gather(*(client.request(SUBJECT, data, timeout=5) for data in asked))
    assert [a.data for a in answers] == asked


async def test_headers_arrive(client: NatsClient) -> None:
    heard: list[Msg] = []
    await client.hear(SUBJECT, "", heard.append)
    await client.publish(SUBJECT, b"body", headers={"traceparent": "00-1"})
    await client.publish(SUBJECT, b"plain")
    await eventually(lambda: asyncio.sleep(0, len(heard) == 2))
    assert [(m.data, m.headers) for m in heard] == [(b"body", {"traceparent": "00-1"}), (b"plain", None)]


ODD_HEADERS = (
    b"Name:value\r\nOther:\t two words \r\n\r\n",
    b"no colon\r\nA: 1\r\n\r\n",
    b"with space: 1\r\nA: 1\r\n\r\n",
    "A: ü\r\nB: 1\r\n\r\n".encode(),
    b"A: \xff\r\n\r\n",
    b"A: 1\nB: 2\r\n\r\n",
    b"A: 1\rB: 2\r\n\r\n",
    b"A: \r\nA: 2\r\n\r\n",
    b"A: 1\r\n",
    b"\r\n",
)


HEADERS: tuple[dict[str, str], ...] = (
    {},
    {"ce-id": "1", "Nats-Msg-Id": "", "ce-source": "/services/x"},
    {"name": "two words"},
    {"name": " trimmed "},
    {"name": "a line\r\nOther: 1"},
    {"name": "1\r\nOther: 1"},
    {"name": "1\nOther: 1", "next": "2"},
    {" name ": "ü"},
    {"": "nothing"},
)


@pytest.mark.parametrize("headers", HEADERS)
async def test_headers_go_as_the_library_writes_them(
    client: NatsClient, monkeypatch: pytest.MonkeyPatch, headers: dict[str, str]
) -> None:
    written: list[bytes] = []
    monkeypatch.setattr(client._transport, "writelines", lambda parts: written.append(b"".join(parts)))
    await client.publish(SUBJECT, b"body", "reply", headers)
    await asyncio.sleep(0)
    monkeypatch.setattr(NatsClient, "_send_publish", Client._send_publish)
    await client.publish(SUBJECT, b"body", "reply", headers)
    await asyncio.sleep(0)
    assert written[0] == written[1]


@pytest.mark.parametrize("name", ["two words", "a:b", "line\r\nother"])
async def test_a_header_that_is_none_is_refused(client: NatsClient, name: str) -> None:
    with pytest.raises(nats.errors.BadHeaderError):
        await client.publish(SUBJECT, b"", headers={name: "1"})


@pytest.mark.parametrize("raw", [*ODD_HEADERS, b"ce-id: 1\r\nce-source: /services/x\r\n\r\n"])
def test_headers_are_read_as_the_library_reads_them(raw: bytes) -> None:
    assert NatsClient._parse_header_lines(raw) == Client._parse_header_lines(raw)


@pytest.mark.parametrize(
    "reply",
    [
        "$JS.ACK.FIXES.scoring.3.17.9.1732830000000000000.12",
        "$JS.ACK._.hash.FIXES.scoring.3.17.9.1732830000000000000.12.random",
        "$JS.ACK.domain.hash.FIXES.scoring.3.17.9.1732830000000000000.12",
    ],
)
def test_a_delivery_is_read_as_the_library_reads_it(reply: str) -> None:
    message = Msg(Client(), reply=reply)
    sequence = message.metadata.sequence
    assert delivered_as(message) == (message.metadata.num_delivered, sequence.stream, sequence.consumer) == (3, 17, 9)


@pytest.mark.parametrize("reply", ["", "_INBOX.1", "$JS.ACK.FIXES.scoring.3"])
def test_what_jetstream_did_not_deliver_says_so(reply: str) -> None:
    with pytest.raises(nats.errors.NotJSMessageError):
        delivered_as(Msg(Client(), reply=reply))


async def test_where_nobody_answers_that_is_said_at_once(client: NatsClient) -> None:
    with pytest.raises(nats.errors.NoRespondersError):
        await client.request("test.nobody", b"", timeout=5)


async def test_a_late_answer_is_nobodys(client: NatsClient) -> None:
    heard: list[Msg] = []
    await client.hear(SUBJECT, "test", heard.append)
    with pytest.raises(nats.errors.TimeoutError):
        await client.request(SUBJECT, b"first", timeout=0.1)
    await heard[0].respond(b"late")
    with pytest.raises(nats.errors.TimeoutError):
        await client.request(SUBJECT, b"second", timeout=0.1)
    assert not client._asked


async def test_a_question_that_is_given_up_leaves_nothing(client: NatsClient) -> None:
    await client.hear(SUBJECT, "test", lambda _: None)
    asking = asyncio.create_task(client.request(SUBJECT, b"", timeout=5))
    await asyncio.sleep(0.1)
    asking.cancel()
    await asyncio.wait({asking})
    assert not client._asked


async def test_what_is_said_in_one_turn_is_written_in_one_call(
    client: NatsClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library's own client would leave it to a task; this one has nothing left when the turn is over."""
    written: list[list[bytes]] = []
    monkeypatch.setattr(client._transport, "writelines", written.append)
    for _ in range(3):
        await client.publish(SUBJECT, b"1")
    assert written == []
    await asyncio.sleep(0)
    assert [len(said) for said in written] == [3]
    assert (client._pending, client.pending_data_size) == ([], 0)


async def test_a_flush_goes_behind_all_that_was_said(client: NatsClient, monkeypatch: pytest.MonkeyPatch) -> None:
    said, transport = bytearray(), client._transport
    assert transport is not None
    write, writelines = transport.write, transport.writelines
    monkeypatch.setattr(transport, "write", lambda data: (said.extend(data), write(data)))
    monkeypatch.setattr(transport, "writelines", lambda parts: (said.extend(b"".join(parts)), writelines(parts)))
    await client.publish(SUBJECT, b"1")
    await client.flush()
    assert -1 < said.find(b"PUB ") < said.find(b"PING")


async def test_other_subscriptions_are_as_the_library_has_them(client: NatsClient) -> None:
    subscription = await client.subscribe(SUBJECT)
    await client.publish(SUBJECT, b"1")
    assert (await subscription.next_msg(timeout=5)).data == b"1"


async def test_jetstream_acknowledges_and_is_read(client: NatsClient) -> None:
    js = client.jetstream()
    await js.add_stream(name="CLIENT", subjects=["client.test"])
    try:
        acknowledged = await asyncio.gather(*(js.publish("client.test", b"%d" % n) for n in range(20)))
        assert sorted(a.seq for a in acknowledged) == [*range(1, 21)]
        reader = await js.pull_subscribe("client.test", "reader")
        assert [m.data for m in await reader.fetch(20, 5)] == [b"%d" % n for n in range(20)]
    finally:
        await js.delete_stream("CLIENT")


async def test_after_an_outage_it_asks_and_hears_again(outages: Frail) -> None:
    asks, answers = await connected(outages.nats_url), await connected(outages.nats_url)
    await answers.hear(SUBJECT, "test", echo(answers))
    await answers.flush()
    assert (await asks.request(SUBJECT, b"before", timeout=5)).data == b"before"
    await outages.stop("nats")
    await eventually(lambda: asyncio.sleep(0, not (asks.is_connected or answers.is_connected)))
    await outages.start("nats")

    async def again() -> bool:
        try:
            return (await asks.request(SUBJECT, b"after", timeout=1)).data == b"after"
        except nats.errors.Error:
            return False

    await eventually(again, 20)
    await asks.close()
    await answers.close()
