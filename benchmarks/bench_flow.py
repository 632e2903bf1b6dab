"""How long from handing a fix in to its score on the bus, and to the caller's reading score and category; how many a
second at most.

`python -m benchmarks.bench_flow` starts a platform of its own; with PRECEDENT_HOME set it uses the one that runs there
(start that one with PRECEDENT_POLICIES=benchmarks/ample_limits.toml: the built-in limits are met at once).
Rounds alternate with bare publishes to a stream of the same server, each synced to disk: what no flow can beat.
"""

import os
import platform as machine
import time
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
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

from benchmarks.load import Client, Result, closed_loop, fixes, open_loop, percentile
from benchmarks.local_platform import Platform, platform
from shared.contracts.fixes import FixScored
from shared.ids import fix_id

REPOSITORY = "acme/shop"
ROUNDS = 3
BARE_PUBLISHES = 200
BARE_STREAM = "BENCH"
IN_FLIGHT = 64
WARM_UP_SECONDS = 5.0
CATCH_UP_TRIES = 12
# name: (a second, seconds of each round)
RATES = {"1,000 a minute": (1000 / 60, 20.0), "200 a second": (200.0, 7.0)}
LIMIT_SECONDS = 8.0


async def bare(js: JetStreamContext) -> float:
    """Median milliseconds of publishing 2 KB and having it on disk, one after the other."""
    payload, times = os.urandom(2048), []
    for _ in range(BARE_PUBLISHES):
        started = time.perf_counter()
        await js.publish("bench.bare", payload)
        times.append(time.perf_counter() - started)
    return 1000 * median(times)


def tell(name: str, result: Result, scored: Sequence[float], floor: float) -> None:
    for what, seconds in (("scored", scored), ("answered", result.latencies)):
        p50, p90, p99 = (percentile(seconds, share) for share in (0.5, 0.9, 0.99))
        print(
            f"  {name:<16} {what:<9} p50 {p50:7.1f}  p90 {p90:7.1f}  p99 {p99:7.1f} ms  "
            f"{result.per_second:7.1f} fixes/s  p50 = {p50 / floor:5.1f} bare publishes",
            flush=True,
        )
    if result.others:
        print(f"  {name:<16} not finished: {result.others}")


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
        await open_loop(client, bodies, 20, WARM_UP_SECONDS)
        await rounds(client, bodies, js, scores)
    finally:
        await js.delete_stream(BARE_STREAM)
        await connection.close()
        client.close()


async def rounds(client: Client, bodies: Iterator[Any], js: JetStreamContext, scores: Scores) -> None:
    seen: dict[str, list[Result]] = {}
    floors = []
    for number in range(1, ROUNDS + 1):
        floors.append(await bare(js))
        print(f"round {number}: a bare publish takes {floors[-1]:.2f} ms", flush=True)
        for name, (per_second, seconds) in RATES.items():
            seen.setdefault(name, []).append(await open_loop(client, bodies, per_second, seconds))
            await caught_up(client, bodies)
        seen.setdefault(f"{IN_FLIGHT} in flight", []).append(
            await closed_loop(client, bodies, IN_FLIGHT, LIMIT_SECONDS)
        )
        await caught_up(client, bodies)
        for name, results in seen.items():
            tell(name, results[-1], scores.after(results[-1]), floors[-1])
    print(f"all rounds: a bare publish takes {median(floors):.2f} ms")
    for name, results in seen.items():
        tell(name, together(results), [s for r in results for s in scores.after(r)], median(floors))


async def caught_up(client: Client, bodies: Iterator[Any]) -> None:
    """Until a fix is answered again: what one measurement leaves behind must not slow the next."""
    for _ in range(CATCH_UP_TRIES):
        if (await client.post("/v1/fixes", next(bodies), {"Prefer": "wait=10"}))[0] == 201:
            return


def together(results: Sequence[Result]) -> Result:
    whole = Result(seconds=sum(r.seconds for r in results))
    for r in results:
        whole.latencies += r.latencies
        whole.others |= {name: whole.others.get(name, 0) + count for name, count in r.others.items()}
    return whole


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
