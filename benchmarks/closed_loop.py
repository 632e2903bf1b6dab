"""One request again and again over many connections, with as little of the machine as Python allows."""

import asyncio
import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import cast

LENGTH = re.compile(rb"\r\ncontent-length: (\d+)", re.I)
TICKS_PER_SECOND = 100  # of /proc/PID/stat


def get(path: str, **headers: str) -> bytes:
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"GET {path} HTTP/1.1\r\nhost: localhost\r\n{lines}\r\n".encode()


def post(path: str, body: object, **headers: str) -> bytes:
    data = json.dumps(body).encode()
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{lines}"
    return f"{head}content-length: {len(data)}\r\n\r\n".encode() + data


@dataclass(frozen=True)
class Target:
    """`pid` is the server's. All connections together send the requests in turn; answers have the status `expected`."""

    port: int
    pid: int
    requests: tuple[bytes, ...]
    expected: int = 200


@dataclass
class Measured:
    """`cpu_us` is what the server process spent on one request."""

    per_second: float
    cpu_us: float
    p50_ms: float
    p99_ms: float
    answer_bytes: float


@dataclass
class Loop:
    target: Target
    requests: Iterator[bytes]
    end: float
    latencies: list[float] = field(default_factory=list)
    received: int = 0
    unexpected: int = 0


class Caller(asyncio.Protocol):
    """Sends its next request when it has its answer, until the end."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._held = b""
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._send()

    def _send(self) -> None:
        self._sent = time.perf_counter()
        self._transport.write(next(self._loop.requests))

    def data_received(self, data: bytes) -> None:
        self._held += data
        head = self._held.find(b"\r\n\r\n")
        if head < 0:
            return
        found = LENGTH.search(self._held, 0, head)
        length = head + 4 + (int(found[1]) if found else 0)
        if len(self._held) >= length:
            self._answered(length)

    def _answered(self, length: int) -> None:
        now, loop = time.perf_counter(), self._loop
        loop.latencies.append(now - self._sent)
        loop.received += length
        loop.unexpected += self._held[9:12] != b"%d" % loop.target.expected
        self._held = b""
        if now < loop.end:
            self._send()
        else:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND


async def measure(target: Target, connections: int, seconds: float) -> Measured:
    """Raises `RuntimeError` for any answer that was not expected."""
    running = asyncio.get_running_loop()
    begun, cpu = time.perf_counter(), cpu_seconds(target.pid)
    loop = Loop(target, cycle(target.requests), begun + seconds)
    callers = [
        (await running.create_connection(lambda: Caller(loop), "127.0.0.1", target.port))[1] for _ in range(connections)
    ]
    await asyncio.wait_for(asyncio.gather(*(caller.done for caller in callers)), seconds + 30)
    count, spent = len(loop.latencies), time.perf_counter() - begun
    if loop.unexpected:
        raise RuntimeError(f"{loop.unexpected} of {count} answers were not {target.expected}")
    ordered = sorted(loop.latencies)
    return Measured(
        count / spent,
        1e6 * (cpu_seconds(target.pid) - cpu) / count,
        1e3 * ordered[count // 2],
        1e3 * ordered[int(0.99 * count)],
        loop.received / count,
    )
