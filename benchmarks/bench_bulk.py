"""How fast a history comes in: over HTTP to scored and stored, beside what JetStream alone takes; and what the write
of a group costs beside COPY.

`python -m benchmarks.bench_bulk` starts a platform of its own. Rounds alternate, and everything is told as a ratio
within the same run: publishes of the same payloads to a stream of the same server, each synced to disk, as many at a
time as the gateway has and one after the other; COPY of the same rows into the same table with its indexes, a commit
for as many rows.
"""

import asyncio
import json
import os
import platform as machine
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from itertools import islice
from statistics import median
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import msgspec
import nats
import uvloop
from nats.js import JetStreamContext

from benchmarks.load import fixes
from benchmarks.local_platform import Platform, platform
from benchmarks.write_step import WriteStep
from services.gateway.bodies import BulkLine
from services.gateway.bulk import CHUNK_LINES
from services.gateway.keys import Principal
from services.gateway.submission import identify, submitted
from services.scoring.settings import ScoringSettings
from shared.contracts.fixes import FixSubmitted
from shared.topology import WORK

ROUNDS = 3
LINES = int(os.environ.get("LINES", "4000"))
WARM_UP_LINES = 500
STREAM = "BENCH"
WITHIN_SECONDS = 300.0
POLL_SECONDS = 0.2
START = datetime(2020, 1, 1, tzinfo=UTC)
OPERATOR = Principal(None, "owner", frozenset(["operate"]), ("*",), "bench")  # type: ignore[arg-type]
DONE = {
    "scored": "select count(*) from scoring.agent_auto_fixes where repository = $1 and scored_at is not null",
    "categorized": "select count(*) from patterns.fix_patterns where repository = $1",
}


def history(repository: str) -> Iterator[dict[str, Any]]:
    """Commits without end, six hours apart, of twenty authors; of ten changes one did not hold."""
    random_ = random.Random(repository)
    for number, fix in enumerate(fixes(repository, seed=random_.randrange(1 << 30))):
        at = START + timedelta(hours=6 * number)
        kind = "reverted" if random_.random() < 0.1 else "held"
        outcome = {"kind": kind, "observed_at": (at + timedelta(days=random_.randrange(1, 30))).isoformat()}
        author = {"submitted_at": at.isoformat(), "author": f"Author {random_.randrange(20)}"}
        yield fix | author | {"outcome": outcome}


def events(lines: Sequence[bytes]) -> list[FixSubmitted]:
    """What the gateway makes of them."""
    bodies = [msgspec.json.decode(line, type=BulkLine) for line in lines]
    return [submitted(OPERATOR, body, identify(OPERATOR, body, None), START) for body in bodies]


async def taken(js: JetStreamContext, payloads: Sequence[bytes], together: int) -> float:
    """Messages a second that are on disk, so many at a time."""
    started = time.perf_counter()
    for at in range(0, len(payloads), together):
        await asyncio.gather(*(js.publish("bench.bulk", payload) for payload in payloads[at : at + together]))
    rate = len(payloads) / (time.perf_counter() - started)
    await js.purge_stream(STREAM)
    return rate


async def quiet(js: JetStreamContext) -> None:
    """Until nothing is left of an import that would slow what is measured next."""
    for item in WORK:
        while (info := await js.consumer_info(item.stream, item.durable)).num_pending or info.num_ack_pending:
            await asyncio.sleep(POLL_SECONDS)


class Import:
    """One request that streams, and what the stores have of it."""

    def __init__(self, place: Platform, pool: asyncpg.Pool) -> None:
        self._url, self._key, self._pool = urlsplit(place.facts()["gateway_url"]), place.key(), pool

    async def __call__(self, repository: str, lines: Sequence[bytes]) -> dict[str, float]:
        """Lines a second until all are answered, scored and categorized, from the first byte sent."""
        started = time.perf_counter()
        rates = await asyncio.gather(self._send(lines), *(self._until(name, repository, len(lines)) for name in DONE))
        return {name: len(lines) / (ended - started) for name, ended in zip(("answered", *DONE), rates, strict=True)}

    async def _send(self, lines: Sequence[bytes]) -> float:
        reader, writer = await asyncio.open_connection(self._url.hostname, self._url.port)
        body = b"".join(line + b"\n" for line in lines)
        head = f"POST /v1/fixes/bulk HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {self._key}\r\n"
        head += f"Content-Type: application/x-ndjson\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"

        async def send() -> None:
            writer.write(head.encode())
            for at in range(0, len(body), 1 << 16):
                writer.write(body[at : at + (1 << 16)])
                await writer.drain()

        sending = asyncio.create_task(send())
        answer = await reader.read()
        await sending
        writer.close()
        if answer.count(b'"status":"accepted"') != len(lines):
            raise SystemExit(f"not all lines were accepted:\n{answer[:2000].decode()}")
        return time.perf_counter()

    async def _until(self, name: str, repository: str, count: int) -> float:
        deadline = time.perf_counter() + WITHIN_SECONDS
        while (found := await self._pool.fetchval(DONE[name], repository)) < count:
            if time.perf_counter() > deadline:
                raise SystemExit(f"{found} of {count} {name} after {WITHIN_SECONDS:g} s")
            await asyncio.sleep(POLL_SECONDS)
        return time.perf_counter()


def tell(rounds: Sequence[Mapping[str, float]]) -> None:
    middle = {name: median(each[name] for each in rounds) for name in rounds[0]}
    for name, rate in middle.items():
        low, high = (pick(each[name] for each in rounds) for pick in (min, max))
        print(f"  {name:<31} {rate:9.0f} a second  ({low:.0f} to {high:.0f})")
    for what, of in RATIOS:
        ratio = median(each[what] / each[of] for each in rounds)
        print(f"  {what} / {of}: {ratio:.2f}")


# As many at a time as a chunk of the gateway has lines; and each after the one before.
JETSTREAM = {f"JetStream alone, {CHUNK_LINES} at a time": CHUNK_LINES, "JetStream alone, one by one": 1}
RATIOS = (
    *(("scored", name) for name in JETSTREAM),
    *(("categorized", name) for name in JETSTREAM),
    ("write step", "COPY, as many a commit"),
    ("write step", "COPY, all at once"),
)


async def measure(place: Platform) -> None:
    found = place.facts()
    connection = await nats.connect(found["nats_url"])
    js = connection.jetstream()
    await js.add_stream(name=STREAM, subjects=["bench.>"], max_bytes=512 << 20)
    async with asyncpg.create_pool(found["database_url"], min_size=1, max_size=4) as pool:
        await versions(pool, str(connection.connected_server_version).strip("<>"))
        run, step = Import(place, pool), WriteStep(settings(found))
        await step.open()
        seed = time.time_ns()
        await run(
            f"warm/{seed}", [json.dumps(line).encode() for line in islice(history(f"warm/{seed}"), WARM_UP_LINES)]
        )
        rounds = []
        for number in range(1, ROUNDS + 1):
            repository = f"acme/{seed}-{number}"
            lines = [json.dumps(line).encode() for line in islice(history(repository), LINES)]
            payloads = [msgspec.json.encode(event) for event in events(lines)]
            told = {name: await taken(js, payloads, together) for name, together in JETSTREAM.items()}
            told |= await run(repository, lines)
            await quiet(js)
            told |= await step(events([line.replace(b"acme/", b"step/") for line in lines]))
            rounds.append(told)
            print(f"round {number}:", ", ".join(f"{name} {rate:.0f}" for name, rate in told.items()), flush=True)
        print(f"medians of {ROUNDS} rounds of {LINES} lines of {len(lines[0])} bytes:")
        tell(rounds)
    await js.delete_stream(STREAM)
    await connection.close()


def settings(found: Mapping[str, Any]) -> ScoringSettings:
    urls = {f"{name}_url": found[f"{name}_url"] for name in ("nats", "redis", "database")}
    return ScoringSettings(**urls)


async def versions(pool: asyncpg.Pool, nats_version: str) -> None:
    postgres = await pool.fetchval("show server_version")
    names = ("litestar", "faststream", "nats-py", "uvicorn", "asyncpg", "lightgbm")
    libraries = ", ".join(f"{name} {version(name)}" for name in names)
    print(f"Python {machine.python_version()} on {os.cpu_count()} cores; nats-server {nats_version}, "
          f"Postgres {postgres}; {libraries}", flush=True)  # fmt: skip


async def main() -> None:
    async with platform() as place:
        await measure(place)


if __name__ == "__main__":
    uvloop.run(main())
