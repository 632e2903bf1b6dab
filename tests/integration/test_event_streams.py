"""Server-sent events under strain: a thousand clients, clients who do not read, an outage, the end of the process."""

import asyncio
import signal
import socket
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime

import pytest
from nats.aio.msg import Msg

from services.gateway import follower
from services.gateway.follower import Follower
from services.gateway.routes import events as route
from shared.contracts.fixes import FixScored
from shared.ids import new_id
from shared.topology import declare
from shared.worker import allow_many_connections
from tests.bus import say
from tests.outages import Frail
from tests.processes import gateway_process
from tests.sse import listening, reading
from tests.world import LOG_BYTES, Api, World, eventually

CLIENTS = 1_000
ENOUGH_SECONDS = 30.0


def scored(agent_id: str = "claude") -> FixScored:
    return FixScored(
        id=new_id(), agent_id=agent_id, repository="acme/shop", status="scored", scored_at=datetime.now(UTC)
    )


async def metric(api: Api, line: str) -> float:
    text = (await api.client.get("/metrics")).text
    return next((float(row.rpartition(" ")[2]) for row in text.splitlines() if row.startswith(line + " ")), 0.0)


async def consumers(world: World) -> int:
    found = 0
    for stream in ("FIXES", "KNOWLEDGE", "MODELS"):
        found += len([c for c in await world.nats.jetstream().consumers_info(stream) if not c.config.durable_name])
    return found


async def connected(api: Api, *, buffer: int | None = None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A bare client, which has heard the first block."""
    raw = socket.socket()
    if buffer is not None:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    raw.setblocking(False)
    await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", api.client.base_url.port))
    reader, writer = await asyncio.open_connection(sock=raw, limit=1 << 16)
    request = f"GET /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {api.keys['owner']}\r\n\r\n"
    writer.write(request.encode())
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), head
    await reader.readuntil(b"\n\n")
    return reader, writer


async def test_a_thousand_clients_hear_an_event_that_the_gateway_heard_once(world: World) -> None:
    allow_many_connections()
    api = await reading(await world.gateway())
    alone = await consumers(world)
    clients = []
    for _ in range(CLIENTS // 50):
        clients += await asyncio.gather(*(connected(api) for _ in range(50)))
    assert await metric(api, "event_streams") == CLIENTS
    assert await consumers(world) == alone == 3
    told = scored()
    await say(world, told)

    async def hears(reader: asyncio.StreamReader) -> bool:
        return str(told.id).encode() in await reader.readuntil(b"data: ") + await reader.readuntil(b"\n\n")

    heard = await asyncio.wait_for(asyncio.gather(*(hears(reader) for reader, _ in clients)), ENOUGH_SECONDS)
    assert all(heard)
    assert (await api.get("/v1/fixes")).status_code == 200
    for _, writer in clients:
        writer.close()

    async def left() -> bool:
        return await metric(api, "event_streams") == 0

    await eventually(left, ENOUGH_SECONDS)


async def all_that_came(reader: asyncio.StreamReader) -> bytes:
    held = bytearray()
    with suppress(ConnectionResetError):
        while part := await reader.read(1 << 16):
            held += part
    return bytes(held)


async def test_who_does_not_read_is_cut_off_holds_nobody_up_and_resumes_without_a_gap(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(route, "SEND_SECONDS", 0.5)
    api = await reading(await world.gateway())
    # More than the buffers of two sockets hold.
    told = [scored("a" * 1_000_000) for _ in range(12)]
    slow, writer = await connected(api, buffer=4096)
    async with listening(api) as quick:
        await say(world, *told)
        assert [event.data["id"] for event in await quick.hear_many(12)] == [str(event.id) for event in told]

    async def cut_off() -> bool:
        return await metric(api, 'event_streams_ended_total{reason="slow"}') == 1

    await eventually(cut_off)
    held = await all_that_came(slow)
    writer.close()
    assert b"0\r\n\r\n" not in held[-5:], "it looked like a complete answer"
    whole = [block for block in held.split(b"\n\n")[:-1] if b"data: " in block]
    assert len(whole) < 12
    last = whole[-1].split(b"id: ")[1].split(b"\n")[0].decode() if whole else "0.0.0"
    async with listening(api, last) as again:
        rest = await again.hear_many(12 - len(whole))
    assert [event.data["id"] for event in rest] == [str(event.id) for event in told[len(whole) :]]


async def test_a_client_stays_while_nats_is_away_and_misses_nothing(frail_world: World, outages: Frail) -> None:
    api = await reading(await frail_world.gateway())
    async with listening(api) as listener:
        before = scored()
        await say(frail_world, before)
        assert (await listener.hear()).data["id"] == str(before.id)
        await outages.stop("nats")
        await outages.start("nats")
        after = [scored() for _ in range(5)]

        async def said() -> bool:
            await say(frail_world, after[0])
            return True

        await eventually(said)
        await say(frail_world, *after[1:])
        assert [e.data["id"] for e in await listener.hear_many(5)] == [str(e.id) for e in after]


def losing(monkeypatch: pytest.MonkeyPatch, lost: int) -> None:
    """On the way to the gateway, once and without a broken connection: the message with that place in FIXES."""
    waiting, heard = [lost], Follower._message

    def lossy(self: Follower, message: Msg) -> None:
        if self.stream == "FIXES" and message.metadata.sequence.stream in waiting:
            waiting.clear()
        else:
            heard(self, message)

    monkeypatch.setattr(Follower, "_message", lossy)


@pytest.mark.parametrize("lost", [2, 5], ids=["more come after it", "the last one"])
async def test_a_message_lost_on_the_way_is_told_all_the_same_and_in_its_order(
    world: World, monkeypatch: pytest.MonkeyPatch, lost: int
) -> None:
    monkeypatch.setattr(follower, "CHECK_SECONDS", 0.3)
    losing(monkeypatch, lost)
    api = await reading(await world.gateway())
    told = [scored() for _ in range(5)]
    async with listening(api) as listener:
        await say(world, *told)
        assert [event.data["id"] for event in await listener.hear_many(5)] == [str(event.id) for event in told]


@pytest.mark.parametrize("longer", [False, True], ids=["shorter than before", "longer than before"])
async def test_when_a_stream_begins_anew_its_clients_come_back_and_hear_all_of_it(
    world: World, monkeypatch: pytest.MonkeyPatch, longer: bool
) -> None:
    monkeypatch.setattr(follower, "CHECK_SECONDS", 0.3)
    api = await reading(await world.gateway())
    async with listening(api) as listener:
        await say(world, *(scored() for _ in range(3)))
        await listener.hear_many(3)
        await world.nats.jetstream().delete_stream("FIXES")
        await declare(world.nats.jetstream(), LOG_BYTES)
        told = [scored() for _ in range(6 if longer else 2)]
        if longer:
            await say(world, *told)
        assert await listener.ended()
    async with listening(api, listener.last_id) as listener:
        if not longer:
            await say(world, *told)
        assert [event.data["id"] for event in await listener.hear_many(len(told))] == [str(e.id) for e in told]


async def test_sigterm_ends_the_streams_properly_and_does_not_wait_for_the_clients(world: World) -> None:
    async with gateway_process(world, DRAIN_SECONDS="300") as (process, api), AsyncExitStack() as stack:
        await reading(api)
        listeners = [await stack.enter_async_context(listening(api)) for _ in range(5)]
        process.send_signal(signal.SIGTERM)
        assert all([await listener.ended() for listener in listeners])
        await asyncio.wait_for(process.wait(), ENOUGH_SECONDS)
