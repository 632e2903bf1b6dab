"""Fixes by the hundred over plain HTTP/1.1, with as little of the machine as Python allows."""

import asyncio
import json
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

WORDS = (
    "order",
    "user",
    "token",
    "cache",
    "retry",
    "page",
    "query",
    "index",
    "total",
    "price",
    "stock",
    "event",
    "batch",
)
DIFF_LINES = 26


def fixes(repository: str = "acme/shop", seed: int = 1) -> Iterator[dict[str, str]]:
    """Without end: each about 2 KB, each another change."""
    random_ = random.Random(seed)
    number = 0
    while True:
        number += 1
        yield {
            "agent_id": f"agent-{number % 7}",
            "repository": repository,
            "external_id": f"{seed}-{number}",
            "title": f"fix: {' '.join(random_.choices(WORDS, k=4))}",
            "diff": diff(random_, f"src/{random_.choice(WORDS)}/{random_.choice(WORDS)}.py"),
        }


def diff(random_: random.Random, path: str) -> str:
    def line() -> str:
        return (
            f"    {random_.choice(WORDS)}_{random_.randrange(999)} = {random_.choice(WORDS)}({random_.choice(WORDS)})"
        )

    old, new = ([sign + line() for _ in range(DIFF_LINES)] for sign in "-+")
    head = f"diff --git a/{path} b/{path}\n--- a/{path}\n+++ b/{path}\n@@ -1,{DIFF_LINES} +1,{DIFF_LINES} @@\n"
    return head + "\n".join(old + new) + "\n"


@dataclass
class Client:
    """Keeps its connections; each request takes one, or opens another."""

    url: str
    key: str
    _idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = field(default_factory=list)

    async def post(self, path: str, body: object, headers: Mapping[str, str] | None = None) -> tuple[int, bytes]:
        """(status, body). Raises `OSError` or `EOFError` when the gateway goes away meanwhile."""
        return await self._exchange("POST", path, json.dumps(body).encode(), headers or {})

    async def put(self, path: str, body: object) -> tuple[int, bytes]:
        return await self._exchange("PUT", path, json.dumps(body).encode(), {})

    async def get(self, path: str) -> tuple[int, bytes]:
        return await self._exchange("GET", path, b"", {})

    async def _exchange(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes]:
        where = urlsplit(self.url)
        reader, writer = self._idling() or await asyncio.open_connection(where.hostname, where.port)
        try:
            lines = {"Host": where.netloc, "Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
            lines |= {"Content-Length": str(len(body)), **headers}
            head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
            writer.write(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body)
            answer = await _read(reader)
        except BaseException:
            writer.close()
            raise
        self._idle.append((reader, writer))
        return answer

    def _idling(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        """The one used last of those that the gateway has not closed meanwhile."""
        while self._idle:
            reader, writer = self._idle.pop()
            if not reader.at_eof():
                return reader, writer
            writer.close()
        return None

    def close(self) -> None:
        for _, writer in self._idle:
            with suppress(OSError):
                writer.close()


async def _read(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    length = int(head.partition("content-length:")[2].split("\r\n", 1)[0] or 0)
    return int(head.split(" ", 2)[1]), await reader.readexactly(length)


async def open_loop(client: Client, bodies: Iterator[Mapping[str, str]], per_second: float, seconds: float) -> "Result":
    """Starts requests on a fixed schedule, and measures each from when it was due: a stall is seen by all it delays."""
    result, begin = Result(), time.perf_counter() + 0.05

    async def one(due: float, body: Mapping[str, str]) -> None:
        await result.take(client, body, due)

    running = []
    for n in range(int(per_second * seconds)):
        due = begin + n / per_second
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        running.append(asyncio.create_task(one(due, next(bodies))))
    await asyncio.gather(*running)
    result.seconds = time.perf_counter() - begin
    return result


async def closed_loop(client: Client, bodies: Iterator[Mapping[str, str]], in_flight: int, seconds: float) -> "Result":
    """As many as are answered: each of `in_flight` callers sends its next when it has its answer."""
    result, begin = Result(), time.perf_counter()

    async def caller() -> None:
        while time.perf_counter() - begin < seconds:
            await result.take(client, next(bodies), time.perf_counter())

    await asyncio.gather(*(caller() for _ in range(in_flight)))
    result.seconds = time.perf_counter() - begin
    return result


@dataclass
class Result:
    """`latencies` in seconds, of those that were answered with the finished fix; `due` when each was to be sent."""

    latencies: list[float] = field(default_factory=list)
    due: dict[str, float] = field(default_factory=dict)
    others: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    async def take(self, client: Client, body: Mapping[str, str], due: float) -> None:
        self.due[body["external_id"]] = due
        try:
            status, _ = await client.post("/v1/fixes", body, {"Prefer": "wait=10"})
        except (OSError, EOFError) as error:
            status, what = 0, type(error).__name__
        else:
            what = str(status)
        if status == 201:
            self.latencies.append(time.perf_counter() - due)
        else:
            self.others[what] = self.others.get(what, 0) + 1

    @property
    def per_second(self) -> float:
        return len(self.latencies) / self.seconds


def percentile(seconds: Sequence[float], share: float) -> float:
    """In milliseconds; NaN of nothing."""
    ordered = sorted(seconds)
    return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")
