"""`POST /v1/fixes/bulk` as a stream: what it holds while it goes on, and who waits for whom."""

import asyncio
import json
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest

from shared.ids import fix_id
from shared.topology import GIB, STREAMS, declare, stream_config
from tests.diffs import diff, fix
from tests.world import LOG_BYTES, Api, World, eventually

LINES = {"content-type": "application/x-ndjson"}
# What the two sockets and the server's own buffers hold at most, with room to spare.
BUFFERED_BYTES = 24 << 20


@pytest.fixture
async def api(world: World) -> Api:
    made = await world.gateway()
    await made.get("/v1/fixes")
    return made


def line(number: int, size: int = 40) -> bytes:
    body = fix(external_id=f"c{number}", submitted_at="2025-01-01T00:00:00Z", diff=diff(new=f"    # {'x' * size}"))
    return json.dumps(body).encode() + b"\n"


async def streamed(api: Api, lines: AsyncIterator[bytes]) -> list[dict[str, Any]]:
    headers = LINES | {"authorization": f"Bearer {api.keys['owner']}"}
    async with api.client.stream("POST", "/v1/fixes/bulk", content=lines, headers=headers, timeout=120) as answer:
        return [json.loads(text) async for text in answer.aiter_lines()]


async def many(count: int, size: int, begin: int = 0) -> AsyncIterator[bytes]:
    for number in range(begin, begin + count):
        yield line(number, size)


async def test_an_answer_comes_while_the_request_is_still_being_sent(api: Api) -> None:
    reader, writer = await begun(api)
    for number in range(64):  # a chunk
        writer.write(chunk(line(number)))
    while b'"line":64,' not in await asyncio.wait_for(reader.readline(), 10):
        pass
    writer.write(chunk(line(64)) + b"0\r\n\r\n")
    while b'"line":65,' not in await asyncio.wait_for(reader.readline(), 10):
        pass
    writer.close()


async def test_what_happened_since_an_import_began_is_not_of_the_future(api: Api) -> None:
    reader, writer = await begun(api)
    writer.write(chunk(b"\n"))
    await asyncio.sleep(0.5)
    now = datetime.now(UTC).isoformat()
    late = fix(external_id="late", submitted_at=now) | {"outcome": {"kind": "held", "observed_at": now}}
    writer.write(chunk(json.dumps(late).encode()) + b"0\r\n\r\n")
    while b'"line":2,' not in (said := await asyncio.wait_for(reader.readline(), 10)):
        pass
    assert b'"accepted"' in said
    writer.close()


async def test_who_leaves_within_an_import_is_told_of_in_one_line(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    reader, writer = await begun(api)
    for number in range(65):
        writer.write(chunk(line(number)))
    while b'"line":64,' not in await asyncio.wait_for(reader.readline(), 10):
        pass
    writer.transport.abort()

    async def logged() -> list[str]:
        return [record.getMessage() for record in caplog.records]

    assert await eventually(logged) == ["owner left in the middle of an import, answered up to line 64"]
    assert not any(record.exc_info for record in caplog.records)


async def test_the_memory_of_an_import_does_not_grow_with_its_length(api: Api) -> None:
    async def peak(count: int, begin: int) -> int:
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        answers = await streamed(api, many(count, 8 << 10, begin))
        assert {a["status"] for a in answers} == {"accepted"}
        return tracemalloc.get_traced_memory()[1] - before

    tracemalloc.start()
    try:
        await peak(128, 0)
        short, long = await peak(256, 10_000), await peak(2048, 20_000)
    finally:
        tracemalloc.stop()
    # Sixteen megabytes more were sent.
    assert long - short < 4 << 20


async def test_who_does_not_read_the_answers_is_not_read_either(api: Api) -> None:
    reader, writer = await begun(api)
    sent = 0
    # Short lines have the longest answers for their length: each is refused, with a reason.
    refused = b'{"agent_id":1}\n' * 4096
    with suppress(TimeoutError):
        while sent < BUFFERED_BYTES:
            writer.write(chunk(refused))
            sent += len(refused)
            await asyncio.wait_for(writer.drain(), 3)
    assert sent < BUFFERED_BYTES
    # And goes on where it was as soon as it reads.
    drained = asyncio.create_task(writer.drain())
    while not drained.done():
        await asyncio.wait_for(reader.read(1 << 16), 10)
    writer.close()


async def test_a_log_that_is_full_refuses_lines_that_may_be_sent_again_and_loses_none(api: Api) -> None:
    world = api.world
    js = world.nats.jetstream()
    small = stream_config(next(s for s in STREAMS if s.name == "FIXES"), GIB)
    await js.update_stream(small.evolve(max_bytes=128 << 10))
    answers = await streamed(api, many(200, 1000))
    full = [a for a in answers if a["status"] == "rejected"]
    assert 0 < len(full) < 200
    assert {(a["problem"]["status"], a["problem"]["code"]) for a in full} == {(503, "log_full")}
    await declare(js, LOG_BYTES)
    assert {a["status"] for a in await streamed(api, many(200, 1000))} == {"accepted"}
    kept = await js.stream_info("FIXES")
    assert kept.state.messages == 200
    await world.start("scoring")
    await api.until(f"/v1/fixes/{fix_id('acme/shop', 'c199')}", "status", "scored", seconds=30)


async def begun(api: Api) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A request whose body is to follow, chunk by chunk."""
    reader, writer = await asyncio.open_connection("127.0.0.1", api.client.base_url.port)
    head = ["POST /v1/fixes/bulk HTTP/1.1", "Host: x", f"Authorization: Bearer {api.keys['owner']}"]
    head += ["Content-Type: application/x-ndjson", "Transfer-Encoding: chunked", "", ""]
    writer.write("\r\n".join(head).encode())
    return reader, writer


def chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"
