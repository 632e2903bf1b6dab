"""What is kept for a time only: gone after it, a little at a time, and without a trace in what stays."""

import asyncio
import time
from typing import Any

import asyncpg
import pytest
import redis.asyncio as redis
from prometheus_client import CollectorRegistry

from services.patterns import retention_store as patterns
from services.scoring import app as scoring_app
from services.scoring import retention_store
from services.trainer import retention_store as trainers
from services.trainer.store import trainable
from shared import retention
from shared.database import Database
from shared.features.vector import FEATURE_SET, FEATURES
from shared.generations import Generations
from shared.outbox import INBOX_DAYS
from shared.retention import Retention, Rule
from shared.topology import STREAMS
from tests.diffs import fix
from tests.old_code import fill, tables
from tests.world import Api, World, eventually

OLD = "now() - interval '200 days'"


class Keeper:
    """One replica's retention, of `schema`, with settings as given."""

    def __init__(self, world: World, rules: Any, schema: str = "scoring", **changes: Any) -> None:
        settings = world.settings(f"{schema}_rw", **changes)
        self.registry = CollectorRegistry()
        self.database = Database(settings, schema)
        given = rules(settings) if callable(rules) else rules
        self.retention = Retention(self.database, Generations(settings.redis_url), self.registry, schema, given)

    def count(self, rule: str) -> float:
        return self.registry.get_sample_value("retention_rows_total", {"rule": rule}) or 0.0


@pytest.fixture
async def api(world: World) -> Api:
    await world.start("scoring", "patterns")
    return await world.gateway()


async def handed_in(api: Api, count: int, **fields: Any) -> list[str]:
    waiting = {"Prefer": "wait=10"}
    answers = [await api.post("/v1/fixes", fix(**fields), headers=waiting) for _ in range(count)]
    assert [a.status_code for a in answers] == [201] * count
    return [a.json()["id"] for a in answers]


async def many(world: World, count: int) -> None:
    """Scored fixes of long ago, each with a diff."""
    await world.owner.execute(
        "insert into scoring.agent_auto_fixes (id, agent_id, repository, submitted_at, scored_at, confidence, diff) "
        f"select gen_random_uuid(), 'claude', 'acme/shop', {OLD}, {OLD}, 0.5, repeat('x', 3000) "
        "from generate_series(1, $1)",
        count,
    )


DIFFS_LEFT = "select count(diff) from scoring.agent_auto_fixes"


async def learned_from(connection: asyncpg.Connection) -> list[str]:
    """As text, for NaN is not itself."""
    return sorted([str(row) async for rows in trainable(connection, FEATURE_SET, len(FEATURES)) for row in rows])


async def test_an_old_diff_goes_and_all_that_was_made_of_it_stays(api: Api) -> None:
    world = api.world
    old, young = await handed_in(api, 2)
    for fix_id in (old, young):
        await api.post(f"/v1/fixes/{fix_id}/outcome", {"kind": "held"}, as_="reporter")
        await api.until(f"/v1/fixes/{fix_id}", "status", "succeeded")
    await world.owner.execute(f"update scoring.agent_auto_fixes set scored_at = {OLD} where id = $1", old)
    answer, rows = (await api.get(f"/v1/fixes/{old}")).json(), await learned_from(world.owner)

    keeper = Keeper(world, retention_store.rules)
    await keeper.retention.round()

    diffs = dict(await world.owner.fetch("select id::text, diff is null from scoring.agent_auto_fixes"))
    assert diffs == {old: True, young: False}
    assert keeper.count("diffs") == 1
    assert len(rows) == 2
    assert await learned_from(world.owner) == rows
    # Also when nobody remembers the answer.
    async with redis.Redis.from_url(world.servers.redis_url) as store:
        await store.flushall()
    uncached = (await api.get(f"/v1/fixes/{old}")).json()
    assert uncached | {"scored_at": None} == answer | {"scored_at": None}
    again = await api.post("/v1/fixes", fix(), headers={"Prefer": "wait=10"})
    assert again.json()["duplicate_of"] in (old, young)


async def test_what_was_just_imported_keeps_its_diff_however_long_ago_it_was(api: Api) -> None:
    await handed_in(api, 1, submitted_at="2019-01-01T00:00:00Z")
    await Keeper(api.world, retention_store.rules).retention.round()
    assert await api.world.owner.fetchval(DIFFS_LEFT) == 1


async def test_zero_days_are_for_ever(world: World) -> None:
    await many(world, 3)
    await Keeper(world, retention_store.rules, diff_days=0).retention.round()
    assert await world.owner.fetchval(DIFFS_LEFT) == 3


async def test_no_batch_is_larger_than_allowed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "BATCH_ROWS", 100)
    await many(world, 950)
    await Keeper(world, retention_store.rules).retention.round()
    by_transaction = await world.owner.fetch("select count(*) from scoring.agent_auto_fixes group by xmin::text")
    assert sorted(row["count"] for row in by_transaction) == [50] + [100] * 9
    assert await world.owner.fetchval(DIFFS_LEFT) == 0


async def test_a_batch_that_takes_too_long_is_undone_and_tried_with_fewer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH_SECONDS", 0.3)
    await many(world, 40)
    slow = retention_store.DIFFS + ", pg_sleep(0.02)"
    keeper = Keeper(world, [Rule("diffs", 180, slow)])
    await keeper.retention.round()
    assert await world.owner.fetchval(DIFFS_LEFT) == 0
    assert keeper.count("diffs") == 40
    assert await world.owner.fetchval("select count(distinct xmin::text) from scoring.agent_auto_fixes") > 1


async def test_of_two_replicas_one_does_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "BATCH_ROWS", 50)
    await many(world, 500)
    keepers = [Keeper(world, retention_store.rules) for _ in range(2)]
    await asyncio.gather(*(keeper.retention.round() for keeper in keepers))
    assert sorted(keeper.count("diffs") for keeper in keepers) == [0, 500]


async def test_fixes_are_scored_meanwhile(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "BATCH_ROWS", 20)
    await many(api.world, 2000)
    going_on = asyncio.create_task(Keeper(api.world, retention_store.rules).retention.round())
    await handed_in(api, 10)
    left = await api.world.owner.fetchval(DIFFS_LEFT)
    assert not going_on.done(), "it was over before anything was scored"
    assert 10 < left < 2010
    await going_on
    assert await api.world.owner.fetchval(DIFFS_LEFT) == 10


async def test_a_row_that_somebody_holds_is_left_to_the_next_round(world: World) -> None:
    await many(world, 3)
    keeper = Keeper(world, retention_store.rules)
    async with world.owner.transaction():
        await world.owner.execute("select from scoring.agent_auto_fixes limit 1 for update")
        await asyncio.wait_for(keeper.retention.round(), 5)
    assert await world.owner.fetchval(DIFFS_LEFT) == 1
    await keeper.retention.round()
    assert await world.owner.fetchval(DIFFS_LEFT) == 0


async def test_a_replica_that_drains_stops_in_the_middle_and_another_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH_ROWS", 10)
    monkeypatch.setattr(retention, "LEAST_PAUSE_SECONDS", 0.5)
    monkeypatch.setattr(scoring_app, "ROUND_SECONDS", 0.1)
    await many(world, 1000)

    async def begun() -> bool:
        return bool(await world.owner.fetchval(DIFFS_LEFT) < 1000)

    async with world.worker("scoring"):
        await eventually(begun)
        leaving = time.monotonic()
    assert time.monotonic() - leaving < 5
    left = await world.owner.fetchval(DIFFS_LEFT)
    assert 0 < left < 1000
    assert await world.owner.fetchval("select count(*) from pg_locks where locktype = 'advisory'") == 0
    monkeypatch.setattr(retention, "LEAST_PAUSE_SECONDS", 0.0)
    keeper = Keeper(world, retention_store.rules)
    await keeper.retention.round()
    assert keeper.count("diffs") == left


async def test_a_fix_that_is_let_go_leaves_no_answer_behind_and_the_learning_keeps_its_counts(api: Api) -> None:
    world = api.world
    text = {"title": "Guard against None", "body": "A caller without a user gets None here: check it first."}
    learning = (await api.post("/v1/learnings", {"agent_id": "claude"} | text)).json()["id"]
    old, young = *await handed_in(api, 1, learning_ids=[learning]), *await handed_in(api, 1)
    await api.post(f"/v1/fixes/{old}/outcome", {"kind": "held"}, as_="reporter")
    await api.until(f"/v1/learnings/{learning}", "uses", 1)
    for statement in (
        f"update scoring.agent_auto_fixes set submitted_at = {OLD} where id = $1",
        f"update patterns.fix_patterns set submitted_at = {OLD} where fix_id = $1",
    ):
        await world.owner.execute(statement, old)
    for _ in range(2):  # the second from the cache
        assert (await api.get(f"/v1/fixes/{old}")).status_code == 200
        assert len((await api.get("/v1/fixes")).json()["items"]) == 2

    cache = redis.Redis.from_url(world.servers.redis_url)
    await cache.delete(f"fix:accepted:{old}")  # that it was accepted is remembered for a day
    await cache.aclose()

    await Keeper(world, retention_store.rules, fix_days=100).retention.round()
    await Keeper(world, patterns.rules, "patterns", fix_days=100).retention.round()

    assert (await api.get(f"/v1/fixes/{old}")).status_code == 404
    assert [item["id"] for item in (await api.get("/v1/fixes")).json()["items"]] == [young]
    assert (await api.get(f"/v1/learnings/{learning}")).json()["successes"] == 1
    for table, column in (("scoring.fix_outcomes", "fix_id"), ("patterns.fix_patterns", "fix_id")):
        assert await world.owner.fetchval(f"select count(*) from {table} where {column} = $1", old) == 0
    assert await world.owner.fetchval("select sum(changes) from scoring.repository_history") == 2


async def test_of_training_runs_the_last_one_stays_however_old(world: World) -> None:
    found = [table for table in await tables(world.owner) if table.name == "trainer.training_runs"]
    await fill(world.owner, found)
    await world.owner.execute(
        "update trainer.training_runs set kind = 'confidence', joined_run_id = null, "
        f"created_at = {OLD} + (created_at - '2026-01-01'), finished_at = {OLD}"
    )
    last = await world.owner.fetchval("select run_id from trainer.training_runs order by created_at desc limit 1")
    await Keeper(world, trainers.rules, "trainer", training_run_days=100).retention.round()
    assert [row["run_id"] for row in await world.owner.fetch("select run_id from trainer.training_runs")] == [last]


async def test_only_refused_reports_and_read_messages_go_unasked(world: World) -> None:
    """With the settings as they are, no row that anything rests on."""
    stores = {"scoring": retention_store, "patterns": patterns, "trainer": trainers}
    found = await tables(world.owner)
    await fill(world.owner, found)
    kept = {table.name: await world.owner.fetchval(f"select count(*) from {table.name}") for table in found}
    await world.owner.execute(
        f"update scoring.fix_outcomes set reported_at = {OLD}; update trainer.training_runs set finished_at = {OLD}; "
        f"update scoring.agent_auto_fixes set submitted_at = {OLD}, scored_at = {OLD}; "
        + "".join(f"update {schema}.inbox set received_at = {OLD};" for schema in stores)
    )
    refused = await world.owner.fetchval("select count(*) from scoring.fix_outcomes where state = 'refused'")
    for schema, module in stores.items():
        await Keeper(world, module.rules, schema).retention.round()
    left = {name: await world.owner.fetchval(f"select count(*) from {name}") for name in kept}
    assert {name: kept[name] - left[name] for name in kept if kept[name] != left[name]} == {
        "scoring.fix_outcomes": refused,
        **{f"{schema}.inbox": kept[f"{schema}.inbox"] for schema in stores},
    }


def test_the_inbox_remembers_longer_than_the_log_keeps_anything() -> None:
    assert all(stream.days < INBOX_DAYS for stream in STREAMS if stream.name != "DEAD")
