"""How long from handing a fix in to its score on the bus, and to the caller's reading score and category; how many a
second at most.

`python -m benchmarks.bench_flow` starts a platform of its own; with PRECEDENT_HOME set it uses the one that runs there
(start that one with PRECEDENT_POLICIES=benchmarks/ample_limits.toml: the built-in limits are met at once).
Rounds alternate with two measures of the machine: bare publishes to a stream of the same server, each synced to disk,
which no flow can beat; and the same way of a fix with nothing done on it (`bare_flow.py`), through the same servers.
"""

import asyncio
import os
import platform as machine
import sys
import time
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import asyncpg
import nats
import uvloop
from nats.aio.client import Client as Connection
from nats.aio.msg import Msg
from nats.js import JetStreamContext

from benchmarks import bare_flow
from benchmarks.load import Client, Result, closed_loop, fixes, open_loop, percentile
from benchmarks.local_platform import Platform, free_port, platform
from shared.contracts.fixes import FixScored
from shared.ids import fix_id

REPOSITORY = "acme/shop"
ROUNDS = 3
BARE_PUBLISHES = 200
BARE_STREAM = "BENCH"
IN_FLIGHT = 64
WARM_UP_SECONDS = 5.0
READY_TRIES = 100
CATCH_UP_TRIES = 12
# name: (a second, seconds of each round)
RATES = {"1,000 a minute": (1000 / 60, 15.0), "200 a second": (200.0, 6.0)}
LIMIT_SECONDS = 6.0


async def bare(js: JetStreamContext) -> float:
    """Median milliseconds of publishing 2 KB and having it on disk, one after the other."""
    payload, times = os.urandom(2048), []
    for _ in range(BARE_PUBLISHES):
        started = time.perf_counter()
        await js.publish("bench.bare", payload)
        times.append(time.perf_counter() - started)
    return 1000 * median(times)


class Measured:
    """One load: what came of ours and of the bare way, and when ours were scored."""

    def __init__(self) -> None:
        self.ours, self.bare, self.scored = Result(), Result(), list[float]()

    def add(self, other: "Measured") -> None:
        for mine, its in ((self.ours, other.ours), (self.bare, other.bare)):
            mine.seconds += its.seconds
            mine.latencies += its.latencies
            mine.others |= {name: mine.others.get(name, 0) + count for name, count in its.others.items()}
        self.scored += other.scored

    def tell(self, name: str, floor: float) -> None:
        """`floor` is the milliseconds of a bare publish."""
        least = percentile(self.bare.latencies, 0.5)
        rows = (
            ("scored", self.scored, self.ours),
            ("answered", self.ours.latencies, self.ours),
            ("bare way", self.bare.latencies, self.bare),
        )
        for what, seconds, result in rows:
            p50, p90, p99 = (percentile(seconds, share) for share in (0.5, 0.9, 0.99))
            print(
                f"  {name:<15} {what:<8} p50 {p50:7.1f}  p90 {p90:7.1f}  p99 {p99:7.1f} ms  "
                f"{result.per_second:7.1f} fixes/s  p50 = {p50 / floor:5.1f} bare publishes, "
                f"{p50 / least:5.2f} bare ways",
                flush=True,
            )
            if result.others and what != "scored":
                print(f"  {name:<15} {what:<8} not finished: {result.others}")


class Scores:
    """When each score was heard, as every gateway hears it: committed and visible by then."""

    def __init__(self) -> None:
        self._heard: dict[str, float] = {}

    async def hear(self, message: Msg) -> None:
        self._heard[(message.headers or {})["ce-subject"]] = time.perf_counter()

    def after(self, result: Result) -> list[float]:
        """Seconds from when each of `result` was due."""
        ids = {str(fix_id(REPOSITORY, name)): due for name, due in result.due.items()}
        return [self._heard[name] - due for name, due in ids.items() if name in self._heard]


async def measure(found: dict[str, Any], key: str) -> None:
    client, bodies = Client(found["gateway_url"], key), fixes(REPOSITORY, seed=time.time_ns())
    connection = await nats.connect(found["nats_url"])
    js, scores = connection.jetstream(), Scores()
    await js.add_stream(name=BARE_STREAM, subjects=["bench.>"], max_bytes=64 << 20)
    await connection.subscribe(FixScored.SUBJECT, cb=scores.hear)
    try:
        await versions(connection, found)
        async with bare_way(found, js) as bare_client:
            for warmed in (client, bare_client):
                await open_loop(warmed, bodies, 20, WARM_UP_SECONDS)
            await rounds(client, bare_client, bodies, js, scores)
    finally:
        await js.delete_stream(BARE_STREAM)
        await connection.close()
        client.close()


@asynccontextmanager
async def bare_way(found: dict[str, Any], js: JetStreamContext) -> AsyncIterator[Client]:
    """A client of `bare_flow.py`'s gateway, with its worker, on the platform's servers; nothing of it is left."""
    await js.add_stream(name=bare_flow.STREAM, subjects=["bare.>"], max_bytes=256 << 20)
    port = free_port()
    environment = os.environ | {"NATS_URL": found["nats_url"], "DATABASE_URL": found["database_url"]}
    children = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-m", "benchmarks.bare_flow", part, str(port), env=environment, stdout=DEVNULL
        )
        for part in ("worker", "gateway")
    ]
    client = Client(f"http://127.0.0.1:{port}", "none")
    try:
        await ready(client)
        yield client
    finally:
        client.close()
        for child in children:
            child.terminate()
        await asyncio.gather(*(child.wait() for child in children))
        await js.delete_stream(bare_flow.STREAM)
        owner = await asyncpg.connect(found["database_url"])
        await owner.execute("drop schema bare cascade")
        await owner.close()


async def ready(client: Client) -> None:
    """Once both parts are up. Raises the last error after a while."""
    for tries_left in reversed(range(READY_TRIES)):
        try:
            if (await client.post("/v1/fixes", next(fixes())))[0] == 201:
                return
        except OSError:
            if not tries_left:
                raise
        await asyncio.sleep(0.2)
    raise RuntimeError("the bare way did not come up")


async def rounds(
    client: Client, bare_client: Client, bodies: Iterator[Any], js: JetStreamContext, scores: Scores
) -> None:
    whole: dict[str, Measured] = {}
    floors = []
    for number in range(1, ROUNDS + 1):
        floors.append(await bare(js))
        print(f"round {number}: a bare publish takes {floors[-1]:.2f} ms", flush=True)
        for name, (per_second, seconds) in RATES.items():
            found = Measured()
            found.ours = await open_loop(client, bodies, per_second, seconds)
            await caught_up(client, bodies)
            found.bare = await open_loop(bare_client, bodies, per_second, seconds)
            told(name, found, scores, floors[-1], whole)
        found, name = Measured(), f"{IN_FLIGHT} in flight"
        found.ours = await closed_loop(client, bodies, IN_FLIGHT, LIMIT_SECONDS)
        await caught_up(client, bodies)
        found.bare = await closed_loop(bare_client, bodies, IN_FLIGHT, LIMIT_SECONDS)
        told(name, found, scores, floors[-1], whole)
    print(f"all rounds: a bare publish takes {median(floors):.2f} ms")
    for name, measured in whole.items():
        measured.tell(name, median(floors))


def told(name: str, found: Measured, scores: Scores, floor: float, whole: dict[str, Measured]) -> None:
    found.scored = scores.after(found.ours)
    found.tell(name, floor)
    whole.setdefault(name, Measured()).add(found)


async def caught_up(client: Client, bodies: Iterator[Any]) -> None:
    """Until a fix is answered again: what one measurement leaves behind must not slow the next."""
    for _ in range(CATCH_UP_TRIES):
        if (await client.post("/v1/fixes", next(bodies), {"Prefer": "wait=10"}))[0] == 201:
            return


async def versions(connection: Connection, found: dict[str, Any]) -> None:
    database = await asyncpg.connect(found["database_url"])
    postgres = await database.fetchval("show server_version")
    await database.close()
    names = ("litestar", "faststream", "nats-py", "uvicorn", "asyncpg", "lightgbm")
    libraries = ", ".join(f"{name} {version(name)}" for name in names)
    nats_version = str(connection.connected_server_version).strip("<>")
    print(
        f"Python {machine.python_version()} on {os.cpu_count()} cores; {nats_version}, Postgres {postgres}; {libraries}"
    )


async def main() -> None:
    async with AsyncExitStack() as stack:
        home = os.environ.get("PRECEDENT_HOME")
        place = Platform(Path(home), 0) if home else await stack.enter_async_context(platform())
        if not (found := place.facts()):
            raise SystemExit(f"no platform runs in {home}: `make run` first, or unset PRECEDENT_HOME")
        await measure(found, place.key())


if __name__ == "__main__":
    uvloop.run(main())
