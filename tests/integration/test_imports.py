"""What comes by the thousand: published together, read ahead, and still each once and in order."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from services.scoring.handlers import Handlers
from services.scoring.store import Store
from shared import delivery
from shared.batches import HEADERS
from shared.bus import Bus
from shared.contracts.envelope import Envelope, seal
from shared.contracts.fixes import FixImported, Outcome
from shared.ids import derived_id
from shared.pull import MOST_IN_HAND
from shared.topology import STREAMS, stream_config
from tests.bus import said, unfinished
from tests.diffs import diff
from tests.outages import Frail
from tests.world import LOG_BYTES, World, eventually

START = datetime(2025, 1, 1, tzinfo=UTC)
LANE = "scoring_fixes_imported_v1"
SCORED = "select count(*) from scoring.agent_auto_fixes where scored_at is not null"


def imported(number: int, **fields: Any) -> Envelope:
    at = START + timedelta(hours=number)
    plain: dict[str, Any] = {
        "id": derived_id("import", str(number)), "principal": "owner", "agent_id": "claude",
        "repository": "acme/shop", "author": "Ada", "submitted_at": at, "backdated": True,
        "diff": diff(f"src/{number % 7}.py"),
        "outcome": Outcome(kind="held", observed_at=at + timedelta(days=30)),
    }  # fmt: skip
    return seal(FixImported(**plain | fields), source="test", now=START)


@pytest.fixture
async def bus(world: World) -> Bus:
    made = Bus(world.settings("gateway_ro"), "test")
    await made.open()
    world.stack.push_async_callback(made.stop)
    return made


async def in_stream(world: World) -> list[str]:
    return [m.headers["ce-id"] for m in await said(world, "FIXES", FixImported.SUBJECT)]


def ids(envelopes: list[Envelope]) -> list[str]:
    return [str(e.event_id) for e in envelopes]


async def test_many_messages_are_taken_together_and_in_order(world: World, bus: Bus) -> None:
    many = [imported(n) for n in range(300)]
    assert await bus.send_all(many) == [None] * 300
    assert await in_stream(world) == ids(many)
    batches = {m.headers["Nats-Batch-Id"] for m in await said(world, "FIXES", FixImported.SUBJECT)}
    assert len(batches) == 2, "as many at a time as one batch may have"


async def test_what_is_there_already_is_not_taken_twice_and_the_others_are_taken(world: World, bus: Bus) -> None:
    many = [imported(n) for n in range(20)]
    await bus.send_all(many[5:10])
    assert await bus.send_all(many) == [None] * 20
    assert sorted(await in_stream(world)) == sorted(ids(many))


async def test_a_stream_that_takes_no_batches_takes_them_one_by_one(world: World, bus: Bus) -> None:
    config = stream_config(next(s for s in STREAMS if s.name == "FIXES"), LOG_BYTES)
    await world.nats.jetstream().update_stream(config.evolve(allow_atomic=False))
    many = [imported(n) for n in range(20)]
    assert await bus.send_all(many) == [None] * 20
    assert sorted(await in_stream(world)) == sorted(ids(many))


async def test_what_one_stream_refuses_does_not_touch_another(world: World, bus: Bus) -> None:
    await world.nats.jetstream().delete_stream("KNOWLEDGE")
    many = [imported(n) for n in range(10)]
    lost = [Envelope(subject="learnings.changed.v1", event_id=e.event_id, headers={}, payload=b"{}") for e in many]
    results = await bus.send_all([*many[:5], *lost[:5], *many[5:]])
    assert [r is None for r in results] == [True] * 5 + [False] * 5 + [True] * 5
    assert await in_stream(world) == ids(many)


async def test_a_message_that_is_given_up_leaves_its_batch_behind(
    world: World, bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "TRIES", 1)
    await world.start("scoring")
    broken = [imported(n, diff="no diff") for n in range(5)]
    assert await bus.send_all([imported(9), *broken]) == [None] * 6

    async def buried() -> list[Any]:
        letters = await said(world, "DEAD")
        return letters if len(letters) == 5 else []

    for letter in await eventually(buried):
        assert not set(letter.headers) & set(HEADERS)

    async def scored() -> bool:
        return bool(await world.owner.fetchval(SCORED) == 1)

    await eventually(scored)


async def test_the_next_messages_are_made_ready_while_those_before_are_written(
    world: World, bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, heard = asyncio.Event(), 0
    record, submitted = Store.record, Handlers.submitted

    async def slow(self: Store, *args: Any) -> Any:
        await held.wait()
        return await record(self, *args)

    async def counting(self: Handlers, *args: Any) -> None:
        nonlocal heard
        heard += 1
        await submitted(self, *args)

    monkeypatch.setattr(Store, "record", slow)
    monkeypatch.setattr(Handlers, "submitted", counting)
    await world.start("scoring")
    await bus.send_all([imported(n) for n in range(1000)])

    async def ahead() -> bool:
        return heard > 128

    await eventually(ahead)
    await asyncio.sleep(0.3)
    assert heard <= MOST_IN_HAND, "no more than is allowed in memory"
    held.set()

    async def done() -> bool:
        return bool(await world.owner.fetchval(SCORED) == 1000)

    await eventually(done, 30)


async def test_what_a_replica_has_in_hand_when_it_drains_is_finished_and_the_next_goes_on(
    world: World, bus: Bus
) -> None:
    await bus.send_all([imported(n) for n in range(2000)])

    async def begun() -> bool:
        return bool(await world.owner.fetchval(SCORED))

    async with world.worker("scoring"):
        await eventually(begun)
    left, unacknowledged = await unfinished(world, LANE)
    assert 0 < left < 2000
    assert unacknowledged == 0
    assert await world.owner.fetchval(SCORED) == 2000 - left
    await world.start("scoring")

    async def done() -> bool:
        return bool(await world.owner.fetchval(SCORED) == 2000)

    await eventually(done, 30)
    evidence = await world.owner.fetch("select evidence from scoring.agent_auto_fixes order by submitted_at")
    assert [row["evidence"] for row in evidence] == list(range(2000))
    assert await world.owner.fetchval("select count(*) from scoring.fix_outcomes where effective") == 2000


@pytest.mark.parametrize("store", ["nats", "postgres"])
async def test_an_import_goes_on_after_an_outage_and_nothing_is_twice(
    frail_world: World, outages: Frail, store: str
) -> None:
    world = frail_world
    bus = Bus(world.settings("gateway_ro"), "test")
    await bus.open()
    await world.start("scoring", "patterns")
    many = [imported(n) for n in range(600)]
    assert await bus.send_all(many) == [None] * 600
    await asyncio.sleep(0.3)
    await outages.stop(store)
    await asyncio.sleep(0.5)
    await outages.start(store)

    async def quiet() -> bool:
        return [await unfinished(world, f"{s}_fixes_imported_v1") for s in ("scoring", "patterns")] == [(0, 0)] * 2

    # An acknowledgement that met the outage is missed for half a minute.
    await eventually(quiet, 120)
    owner = await asyncpg.connect(world.servers.database_url(world.database))
    assert await owner.fetchval(SCORED) == 600
    assert await owner.fetchval("select count(*) from patterns.fix_patterns") == 600
    assert await owner.fetchval("select sum(changes) from scoring.repository_history") == 600
    await owner.close()
    await bus.stop()


async def test_whoever_has_its_turn_keeps_no_snapshot_so_that_what_is_deleted_can_go(world: World) -> None:
    held = """
    select bool_and(backend_xmin is null) from pg_stat_activity join pg_locks using (pid)
    where datname = current_database() and locktype = 'advisory' and state = 'idle in transaction'
    """
    async with world.worker("scoring"):
        await eventually(lambda: world.owner.fetchval(held))
