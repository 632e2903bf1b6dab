"""A new deployment answers with the model that ships, until one of its own is better."""

import json
from typing import Any

from services.trainer import default
from shared.artefacts import fetch
from shared.features.vector import FEATURE_SET
from tests.diffs import fix
from tests.handlers.test_trainer import ask, models, runs, settle
from tests.world import World, eventually

SHIPPED = "confidence-0"


async def test_a_new_deployment_answers_with_the_model_that_ships(world: World) -> None:
    await world.start("scoring", "patterns")
    await world.start("trainer", default_model="on")
    api = await world.gateway()

    candidate = {name: value for name, value in fix().items() if name != "title"}

    async def answered() -> dict[str, Any]:
        body: dict[str, Any] = (await api.post("/v1/confidence", candidate)).json()
        assert body["source"] == "model", body
        return body

    answer = await eventually(answered)
    assert (answer["model_version"], answer["degraded"], answer["low_evidence"]) == (SHIPPED, False, True)
    model = (await api.get(f"/v1/models/{SHIPPED}")).json()
    assert (model["status"], model["sha256"]) == ("champion", default.about().sha256)
    assert model["metrics"]["auc"] > 0.75
    promotions = (await api.get(f"/v1/models/{SHIPPED}/promotions")).json()["items"]
    assert [p["promoted_by"] for p in promotions] == ["precedent"]


async def test_starting_again_installs_nothing_twice(world: World) -> None:
    for _ in range(2):
        async with world.worker("trainer", default_model="on"):
            assert await models(world) == [(SHIPPED, "champion")]
    assert await world.owner.fetchval("select count(*) from trainer.model_promotions") == 1


async def test_a_model_of_its_own_that_is_better_takes_its_place(world: World) -> None:
    await settle(world, 3000)
    await world.start("trainer", default_model="on")
    await ask(world)
    (run,) = await runs(world)
    assert "better than the champion" in run["reason"]
    assert await models(world) == [(SHIPPED, "retired"), ("confidence-1", "champion")]
    metrics = json.loads(await world.owner.fetchval("select metrics from trainer.models where number = 1"))
    assert metrics["champion"]["version"] == SHIPPED
    assert metrics["gain"]["low"] > 0


async def test_a_champion_that_cannot_be_served_any_more_gives_way_to_the_model_that_ships(world: World) -> None:
    await world.owner.execute(
        "insert into trainer.models (version, kind, number, status, metrics, rows, sha256, feature_set, lineage) "
        "values ('confidence-4', 'confidence', 4, 'champion', '{}', 1, 'gone', 'older', '{}')"
    )
    async with world.worker("trainer", default_model="on"):
        assert await models(world) == [("confidence-4", "retired"), ("confidence-5", "champion")]


async def test_a_champion_of_ones_own_stays_when_the_trainer_starts(world: World) -> None:
    await settle(world, 600)
    async with world.worker("trainer"):
        await ask(world)
        await runs(world)
    async with world.worker("trainer", default_model="on"):
        assert await models(world) == [("confidence-1", "champion")]


async def test_with_auto_promotion_off_a_better_model_waits_for_somebody(world: World) -> None:
    bucket = await world.nats.jetstream().key_value("flags")
    await bucket.put("auto_promotion", b'{"on": false}')
    await settle(world, 600)
    await world.start("trainer")
    await ask(world)
    (run,) = await runs(world)
    assert run["reason"].startswith("auto_promotion is off; otherwise: ")
    assert await models(world) == [("confidence-1", "candidate")]


async def test_what_ships_can_be_fetched_by_the_name_it_is_registered_under(world: World) -> None:
    async with world.worker("trainer", default_model="on"):
        artefact = await fetch(world.nats.jetstream(), default.about().sha256)
    assert artefact.feature_set == FEATURE_SET
