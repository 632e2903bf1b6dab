"""What a score costs: a row in the process, a diff in the worker, and the whole path over HTTP beside its peers.

`python -m benchmarks.bench_scoring` starts a platform of its own. Rounds alternate between what is compared, so
that whatever else the machine does meets all of it. Times of single steps are processor time; paths are wall time.
"""

import asyncio
import json
import os
import platform as machine
import random
import sys
import tempfile
import time
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version
from itertools import islice
from math import isnan
from pathlib import Path
from statistics import median
from typing import Any

import asyncpg
import lightgbm
import msgspec
import nats
import numpy as np
import uvloop
from prometheus_client import CollectorRegistry

from benchmarks.closed_loop import Measured, Target, measure, post
from benchmarks.load import Client, diff
from benchmarks.local_platform import CHECKOUT, free_port, platform
from benchmarks.served_models import artefact, registered, vectors
from services.scoring.answers import Answers
from services.scoring.commands import Commands
from services.scoring.handlers import utc_now
from services.scoring.metrics import ScoringMetrics
from services.scoring.model import Model, load
from services.scoring.store import Store
from services.trainer import default
from shared.artefacts import decode
from shared.bus import Bus
from shared.contracts.envelope import seal
from shared.contracts.models import ModelPromoted
from shared.database import Database
from shared.diffs import parse
from shared.features.change import change_features
from shared.features.formula import formula
from shared.predictor import Predictor
from shared.settings import Settings
from shared.slot import Slot

ROUNDS = 3
SIZES = (100, 200, 400)
TREES = 200
ROWS = 1000
DIFFS = 400
DIFF_BYTES = 5_000
HISTORY_DAYS = 180
PATH_ROUNDS, PATH_SECONDS = 5, 2.0
# More than any of them answers in a round, and no two alike.
MOST_ASKED = 30_000
CLIENTS = (1, 32)
# `plainly` is the same chain through the route, message by message, the formula in the place of the model.
PLAINLY_WITHOUT = ("coalescing", "model_scoring")
# Of what the gateway should reach, beside each.
GOALS = {
    (32, "plainly"): "  (at least 0.8 times as many)",
    (1, "asgi"): "  (at most 1.9)",
    (32, "fastapi"): "  (at least 1.5 times as many)",
    (32, "mlserver"): "  (at least 4 times as many)",
}
MLSERVER = CHECKOUT / ".venv/mlserver/bin/mlserver"


def cost(do: Callable[[Any], object], items: Sequence[Any]) -> float:
    """Microseconds of processor time for each."""
    started = time.process_time()
    for item in items:
        do(item)
    return 1e6 * (time.process_time() - started) / len(items)


def single_rows() -> None:
    rows = vectors()[:ROWS].tolist()
    served = {f"{size} trees of 31 leaves": artefact(size) for size in SIZES}
    served["the model that ships"] = decode(default.artefact(), sha256=default.about().sha256)
    for name, model in served.items():
        ours, booster = Predictor(model), lightgbm.Booster(model_str=model.booster)
        ways: dict[str, Callable[[Any], object]] = {
            "Predictor": ours,
            "Booster on numpy": lambda row, b=booster: b.predict(np.asarray([row]), raw_score=True, num_threads=1),
            "formula": formula,
        }
        seen: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(ROUNDS):
            for way, do in ways.items():
                seen[way].append(cost(do, rows))
        told = "  ".join(f"{way} {median(times):6.1f}" for way, times in seen.items())
        print(f"  a row, {name}, microseconds: {told}", flush=True)


def large_diffs(count: int) -> list[str]:
    """About 5 KB each, of two files that have a history."""
    chance = random.Random(1)
    files = [f"src/part{n % 20}/file{n % 37}.py" for n in range(200)]
    made = []
    for _ in range(count):
        text = ""
        while len(text) < DIFF_BYTES:
            text += diff(chance, chance.choice(files))
        made.append(text)
    return made


async def with_history(owner: asyncpg.Connection) -> None:
    days = "generate_series(current_date - $1::integer, current_date - 1, interval '1 day') as day"
    await owner.execute(
        "insert into scoring.repository_history (repository, day, changes, failures, last_change_at, last_failure_at) "
        f"select 'acme/shop', day, 9, 1, day, day from {days}",
        HISTORY_DAYS,
    )
    await owner.execute(
        "insert into scoring.author_history (repository, role, actor, day, changes, failures, last_change_at, "
        "last_failure_at) select 'acme/shop', role, 'claude', day, 3, 1, day, day "
        f"from unnest(array['author', 'agent']) as role, {days}",
        HISTORY_DAYS,
    )
    await owner.execute(
        "insert into scoring.file_history (repository, path, day, changes, failures, last_change_at, last_failure_at) "
        "select 'acme/shop', format('src/part%s/file%s.py', n % 20, n % 37), day, 1, 0, day, null "
        f"from generate_series(0, 199) as n, {days} on conflict do nothing",
        HISTORY_DAYS,
    )
    await owner.execute("analyze scoring.file_history, scoring.author_history, scoring.repository_history")


async def in_the_worker(found: dict[str, Any]) -> None:
    """The handler of `scoring.confidence`, called without a message bus, on the platform's Postgres."""
    settings = Settings(nats_url=found["nats_url"], database_url=found["database_url"], redis_url="")
    database, metrics = Database(settings, "bench"), ScoringMetrics(CollectorRegistry())
    await database.open()
    store = Store(database)

    async def nothing() -> None:
        return None

    model = Model("confidence-1", "", Predictor(artefact(TREES)))
    slot: Slot[Model | None] = Slot("confidence", lambda _: asyncio.Future(), load, lambda: None, model)
    commands = Commands(store, Answers(slot, lambda: True, nothing, metrics), Bus(settings, "bench"), utc_now)
    await commands.load_thresholds()
    plain = {"agent_id": "claude", "repository": "acme/shop"}
    for size in (1, 32):
        asked = [plain | {"diff": text} for text in large_diffs(DIFFS)]
        lists = [msgspec.json.encode(asked[i : i + size]) for i in range(0, len(asked), size)]
        times, used = [], time.process_time()
        for data in lists:
            started = time.perf_counter()
            await commands.confidence(_Message(data))  # type: ignore[arg-type]
            times.append(1000 * (time.perf_counter() - started))
        used = 1000 * (time.process_time() - used) / len(asked)
        ordered = sorted(times)
        print(
            f"  {size} diffs of 5 KB with history in the worker: p50 {median(times):.2f} "
            f"p99 {ordered[int(0.99 * len(ordered))]:.2f} ms a list; processor time {used:.2f} ms a diff",
            flush=True,
        )
    await database.close()


class _Message(msgspec.Struct):
    data: bytes


@asynccontextmanager
async def peers(found: dict[str, Any], model: str) -> AsyncIterator[dict[str, tuple[int, int]]]:
    """(port, pid) of each by name; MLServer only where `make` could install it."""
    ports = {"asgi": free_port(), "fastapi": free_port()}
    with tempfile.TemporaryDirectory() as name:
        text = Path(name, "model.txt")
        text.write_text(model)
        calls = {
            "worker": ("0", found["nats_url"]),
            "asgi": (str(ports["asgi"]), found["nats_url"]),
            "fastapi": (str(ports["fastapi"]), str(text)),
        }
        commands = {what: (sys.executable, "-m", "benchmarks.chains", what, *rest) for what, rest in calls.items()}
        if MLSERVER.exists():
            ports["mlserver"] = set_up_mlserver(Path(name))
            commands["mlserver"] = (str(MLSERVER), "start", name)
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        children = {
            what: await asyncio.create_subprocess_exec(*command, env=environment, stdout=DEVNULL, stderr=DEVNULL)
            for what, command in commands.items()
        }
        try:
            for port in ports.values():
                await _listening(port)
            yield {what: (port, children[what].pid) for what, port in ports.items()}
        finally:
            for child in children.values():
                child.terminate()
            await asyncio.gather(*(child.wait() for child in children.values()))


def set_up_mlserver(directory: Path) -> int:
    """The port of what it will serve in the process that takes the requests, as the others do."""
    port = free_port()
    settings = {"host": "127.0.0.1", "http_port": port, "grpc_port": free_port(), "metrics_port": free_port()}
    model = {"implementation": "mlserver_lightgbm.LightGBMModel", "parameters": {"uri": "./model.txt", "version": "1"}}
    quiet = {"parallel_workers": 0, "debug": False}
    (directory / "settings.json").write_text(json.dumps(settings | quiet))
    (directory / "model-settings.json").write_text(json.dumps({"name": "confidence"} | model))
    return port


async def _listening(port: int) -> None:
    for _ in range(200):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.1)
        else:
            writer.close()
            return
    raise RuntimeError(f"nobody listens on {port}")


def bodies() -> Iterator[dict[str, Any]]:
    """Features of real diffs; no two alike, so that no cache answers."""
    made = [change_features(parse(text)) for text in large_diffs(50)]
    number = 0
    while True:
        number += 1
        features = made[number % len(made)] | {"width_add": 20 + number / 1e6}
        yield {"agent_id": "claude", "repository": "acme/shop", "features": features}


def requests(name: str, asked: Iterator[dict[str, Any]], key: str) -> tuple[bytes, ...]:
    """As many as a round may need."""
    if name == "mlserver":
        rows = [[0.0 if isnan(value) else value for value in row] for row in vectors()[:ROWS].tolist()]
        inputs = [{"name": "row", "shape": [1, len(row)], "datatype": "FP64", "data": row} for row in rows]
        return tuple(post("/v2/models/confidence/infer", {"inputs": [row]}) for row in inputs)
    return tuple(post("/v1/confidence", body, authorization=f"Bearer {key}") for body in islice(asked, MOST_ASKED))


async def switch(found: dict[str, Any], key: str, flags: Mapping[str, bool]) -> None:
    client = Client(found["gateway_url"], key)
    for name, on in flags.items():
        status, answer = await client.put(f"/v1/flags/{name}", {"on": on})
        if status != 200:
            raise RuntimeError(f"{name} could not be switched: {answer.decode()}")
    client.close()
    # Every replica hears of it within a moment.
    await asyncio.sleep(0.3)


async def paths(found: dict[str, Any], key: str, gateway: tuple[int, int]) -> None:
    # On a machine that is busy with all of the peers, the gateway would refuse a part to keep the rest quick.
    await switch(found, key, {"shedding": False})
    asked = bodies()
    async with peers(found, artefact(TREES).booster) as others:
        ways = {"gateway": gateway, "plainly": gateway, **others}
        for concurrent in CLIENTS:
            seen: dict[str, list[Measured]] = {name: [] for name in ways}
            for _ in range(PATH_ROUNDS):
                for name, (port, pid) in ways.items():
                    await switch(found, key, dict.fromkeys(PLAINLY_WITHOUT, name != "plainly"))
                    target = Target(port, pid, requests(name, asked, key))
                    seen[name].append(await measure(target, concurrent, PATH_SECONDS))
            for name, measured in seen.items():
                tell(concurrent, name, measured, seen["gateway"])


def tell(clients: int, name: str, seen: list[Measured], ours: list[Measured]) -> None:
    rate = median(o.per_second / m.per_second for o, m in zip(ours, seen, strict=True))
    slower = median(o.p50_ms / m.p50_ms for o, m in zip(ours, seen, strict=True))
    p50, p99 = median(m.p50_ms for m in seen), median(m.p99_ms for m in seen)
    print(
        f"  {clients:2} clients  {name:8} {median(m.per_second for m in seen):7.0f}/s  p50 {p50:6.2f} p99 {p99:6.2f} ms"
        f"   gateway = {rate:5.2f} times as many, its p50 {slower:.2f} times as long{GOALS.get((clients, name), '')}",
        flush=True,
    )


async def promote(found: dict[str, Any], owner: asyncpg.Connection) -> None:
    """The gateway's scores come from the same trees."""
    connection = await nats.connect(found["nats_url"])
    promoted: ModelPromoted = await registered(connection.jetstream(), owner, 1, artefact(TREES))
    said = seal(promoted, source="bench", now=utc_now())
    await connection.jetstream().publish(said.subject, said.payload, headers=said.headers)
    asked = msgspec.json.encode([next(bodies())])
    for _ in range(100):
        reply = await connection.request("scoring.confidence", asked, timeout=5)
        if json.loads(reply.data)[0]["value"]["model_version"] == promoted.version:
            break
        await asyncio.sleep(0.1)
    else:
        raise RuntimeError("the model was not served")
    await connection.close()


async def main() -> None:
    names = ("lightgbm", "numpy", "litestar", "faststream", "nats-py", "fastapi", "uvicorn")
    told = ", ".join(f"{name} {version(name)}" for name in names)
    print(f"Python {machine.python_version()} on {os.cpu_count()} cores; {told}", flush=True)
    single_rows()
    async with platform() as place:
        found = place.facts()
        owner = await asyncpg.connect(found["database_url"])
        await with_history(owner)
        await in_the_worker(found)
        await promote(found, owner)
        await paths(found, place.key(), (place.port, place.pids()["gateway"]))
        await owner.close()


if __name__ == "__main__":
    uvloop.run(main())
