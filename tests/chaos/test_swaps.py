"""A thousand models, one after the other, on the real platform under load: nobody notices, nothing is left."""

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import msgspec
import nats
from nats.aio.client import Client as Nats

from benchmarks.bench_scoring import bodies
from benchmarks.load import Client
from benchmarks.local_platform import Platform, platform
from benchmarks.served_models import artefact, promoted_again, registered
from shared.contracts.envelope import seal
from shared.contracts.models import ModelPromoted

SWAPS = 1000
# Three, so that each is read, checked and loaded anew: the one before the present one is kept.
MODELS = 3
TREES = 60
CALLERS = 4
PAUSE_SECONDS = 0.02
# Once every buffer and cache has its size.
SETTLED_SWAPS = 200
# Of the memory then: what an allocator keeps or gives back from one moment to the next.
WAVERS = 0.05


class Load:
    """Callers that ask until they are told to stop."""

    def __init__(self, place: Platform) -> None:
        self._client = Client(f"http://127.0.0.1:{place.port}", place.key())
        self._done = asyncio.Event()
        self.answers: Counter[str] = Counter()

    async def run(self) -> None:
        asked = bodies()

        async def caller() -> None:
            while not self._done.is_set():
                try:
                    status, data = await asyncio.wait_for(self._client.post("/v1/confidence", next(asked)), 20)
                    self.answers[f"{status} {msgspec.json.decode(data).get('source')}"] += 1
                except (OSError, EOFError, TimeoutError) as error:
                    self.answers[type(error).__name__] += 1
                await asyncio.sleep(PAUSE_SECONDS)

        await asyncio.gather(*(caller() for _ in range(CALLERS)))
        self._client.close()

    def finish(self) -> None:
        self._done.set()


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def resident_mb(pid: int) -> float:
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024


async def swap(connection: Nats, owner: asyncpg.Connection, model: ModelPromoted) -> None:
    """Returns when the model answers."""
    promoted = await promoted_again(owner, model)
    said = seal(promoted, source="test", now=datetime.now(UTC))
    await connection.jetstream().publish(said.subject, said.payload, headers=said.headers)
    asked = msgspec.json.encode([next(bodies())])
    for _ in range(1000):
        reply = await connection.request("scoring.confidence", asked, timeout=10)
        if msgspec.json.decode(reply.data)[0]["value"]["model_version"] == model.version:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"{model.version} was not served")


async def swapped(connection: Nats, owner: asyncpg.Connection, pid: int) -> Sequence[float]:
    """Megabytes of the scoring process after each hundred swaps, from `SETTLED_SWAPS` on."""
    models = [await registered(connection.jetstream(), owner, n, artefact(TREES, seed=n)) for n in range(1, MODELS + 1)]
    sizes, started = [], time.monotonic()
    for number in range(1, SWAPS + 1):
        await swap(connection, owner, models[number % MODELS])
        if number % 100 == 0:
            say(f"{number} swaps in {time.monotonic() - started:.0f} s: {resident_mb(pid):.1f} MB")
            if number >= SETTLED_SWAPS:
                sizes.append(resident_mb(pid))
    return sizes


async def test_a_thousand_swaps_fail_no_request_and_leave_no_memory_behind() -> None:
    async with platform() as place:
        found, load = place.facts(), Load(place)
        owner, connection = await asyncpg.connect(found["database_url"]), await nats.connect(found["nats_url"])
        [scoring] = [pid for name, pid in place.pids().items() if name.startswith("scoring")]
        running = asyncio.create_task(load.run())
        sizes = await swapped(connection, owner, scoring)
        load.finish()
        await running
        say(str(load.answers))
        await owner.close()
        await connection.close()
    assert set(load.answers) <= {"200 model", "200 formula"}, load.answers
    assert max(sizes[len(sizes) // 2 :]) <= sizes[0] * (1 + WAVERS), sizes
