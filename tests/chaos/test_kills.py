"""Kills under load on the real platform: what was acknowledged is scored, once, whatever died meanwhile.

Each round ends with the death of the supervisor, and the next one starts on the data that it left: a supervisor gives
a process up that dies too often in a row, so that the kills have to be spread.
"""

import asyncio
import json
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Any
from uuid import UUID

import asyncpg
import nats
import pytest
from nats.js.api import DeliverPolicy

from benchmarks.load import Client, fixes
from benchmarks.local_platform import Platform, platform
from shared.topology import ACK_WAIT_SECONDS

# Who is killed, in each round: scoring 12 times, NATS 8 times.
ROUNDS = (
    ("scoring", "nats", "scoring", "nats", "scoring", "nats", "scoring"),
    ("scoring", "nats", "scoring", "nats", "scoring", "nats", "scoring"),
    ("scoring", "nats", "scoring", "nats", "scoring", "scoring"),
)
CALLERS = 4
PAUSE_SECONDS = 0.05  # between two fixes of a caller
BACK_SECONDS = 30.0
SETTLE_SECONDS = 90.0
REPOSITORY = "acme/shop"


class Load:
    """Callers that send each fix again, under the same name, until it is acknowledged."""

    def __init__(self, place: Platform) -> None:
        self._place = place
        self._client = Client(f"http://127.0.0.1:{place.port}", place.key())
        self._fixes: Iterator[dict[str, str]] = fixes(REPOSITORY)
        self._done = asyncio.Event()
        self.acknowledged: dict[UUID, str] = {}
        self.answers: Counter[str] = Counter()

    async def run(self) -> None:
        await asyncio.gather(*(self._caller() for _ in range(CALLERS)))

    def finish(self) -> None:
        self._done.set()

    async def _caller(self) -> None:
        while not self._done.is_set():
            (body,) = islice(self._fixes, 1)
            while not await self._acknowledged(body):
                await asyncio.sleep(0.2)
            await asyncio.sleep(PAUSE_SECONDS)

    async def _acknowledged(self, body: dict[str, str]) -> bool:
        try:
            status, answer = await asyncio.wait_for(self._client.post("/v1/fixes", body), 20)
        except (OSError, EOFError, TimeoutError) as error:
            self.answers[type(error).__name__] += 1
            return False
        self.answers[str(status)] += 1
        if status in (200, 202):
            self.acknowledged[UUID(json.loads(answer)["id"])] = body["external_id"]
        return status in (200, 202)


async def kill(place: Platform, name: str) -> None:
    """SIGKILL some time after it was ready, and wait until the supervisor has its successor ready."""
    await asyncio.sleep(random.uniform(0.2, 0.7))
    before = place.pids()[name]
    os.kill(before, signal.SIGKILL)
    deadline = time.monotonic() + BACK_SECONDS
    while place.pids().get(name) == before:
        assert time.monotonic() < deadline, f"{name} did not come back:\n{place.log.read_text()[-3000:]}"
        await asyncio.sleep(0.05)


async def round_of_kills(place: Platform, names: tuple[str, ...], *, last: bool) -> None:
    for name in names:
        await kill(place, name)
    if not last:
        await place.stop(signal.SIGKILL)
        await place.start()


async def settled(owner: asyncpg.Connection, ids: set[UUID]) -> None:
    """What a killed worker had in hand comes back after the acknowledgement's time."""
    deadline = time.monotonic() + ACK_WAIT_SECONDS + SETTLE_SECONDS
    sql = """
    select count(*) from scoring.agent_auto_fixes
    where id = any($1::uuid[]) and status = 'scored' and category is not null
    """
    while (done := await owner.fetchval(sql, ids)) < len(ids):
        assert time.monotonic() < deadline, f"{len(ids) - done} of {len(ids)} are still not scored and categorized"
        await asyncio.sleep(0.5)


async def events(url: str, subject: str) -> list[Any]:
    connection = await nats.connect(url)
    js = connection.jetstream()
    state = (await js.stream_info("FIXES", subjects_filter=subject)).state
    subscription = await js.subscribe(subject, ordered_consumer=True, deliver_policy=DeliverPolicy.ALL)
    found = [await subscription.next_msg(timeout=10) for _ in range((state.subjects or {}).get(subject, 0))]
    await connection.close()
    return found


@pytest.fixture(scope="module")
async def place() -> Any:
    async with platform() as running:
        yield running


async def test_every_acknowledged_fix_is_scored_exactly_once(place: Platform) -> None:
    started = time.monotonic()
    load = Load(place)
    running = asyncio.create_task(load.run())
    await asyncio.sleep(1)
    for number, names in enumerate(ROUNDS, 1):
        await round_of_kills(place, names, last=number == len(ROUNDS))
    load.finish()
    await asyncio.wait_for(running, 60)
    ids = set(load.acknowledged)
    tell(f"\n{len(ids)} acknowledged, answers {dict(load.answers)}, {time.monotonic() - started:.0f} s of kills")
    owner = await asyncpg.connect(place.facts()["database_url"])
    await settled(owner, ids)
    await told(place, ids)
    await stored(owner, ids)
    await owner.close()
    tell(f"settled after {time.monotonic() - started:.0f} s")


def tell(line: str) -> None:
    """For whoever runs it: the numbers of this run."""
    sys.stdout.write(f"{line}\n")


async def stored(owner: asyncpg.Connection, ids: set[UUID]) -> None:
    """One row each, each change counted once, each message marked as seen by both workers, nothing left to publish."""
    rows = await owner.fetch("select id, external_id, status from scoring.agent_auto_fixes")
    assert {row["id"] for row in rows} == ids
    assert len({row["external_id"] for row in rows}) == len(rows)
    assert {row["status"] for row in rows} == {"scored"}
    assert await owner.fetchval("select sum(changes)::int from scoring.repository_history") == len(ids)
    assert await owner.fetchval("select count(*)::int from patterns.fix_patterns") == len(ids)
    for schema in ("scoring", "patterns"):
        left = f"select count(*)::int from {schema}.outbox where created_at < now() - interval '30 seconds'"
        assert await owner.fetchval(left) == 0, schema
    deadlocks = await owner.fetchval("select deadlocks from pg_stat_database where datname = current_database()")
    assert deadlocks == 0


def word(message: Any) -> tuple[UUID, int]:
    """Of which fix, and the how manieth of it: a pattern that forms later is said of those in it once more."""
    return UUID(message.headers["ce-subject"]), json.loads(message.data).get("revision", 0)


async def told(place: Platform, ids: set[UUID]) -> None:
    """Every fix has its event; the id of each message that made a row is in both inboxes."""
    url = place.facts()["nats_url"]
    owner = await asyncpg.connect(place.facts()["database_url"])
    submitted = await events(url, "fixes.submitted.v1")
    seen = {UUID(message.headers["ce-id"]) for message in submitted}
    for schema in ("scoring", "patterns"):
        inbox = {row["event_id"] for row in await owner.fetch(f"select event_id from {schema}.inbox")}
        assert seen <= inbox, schema
    for subject in ("fixes.scored.v1", "fixes.categorized.v1"):
        times = Counter(word(message) for message in await events(url, subject))
        assert {identity for identity, revision in times if revision == 0} == ids, subject
        assert max(times.values()) == 1, subject
    tell(f"{len(submitted)} submissions in the log, {len(ids)} fixes")
    await owner.close()
