"""Promotions reach every scoring replica, and what cannot be served leaves the old model answering."""

import asyncio
import base64
import json
import re
from contextlib import AsyncExitStack
from typing import Any

import lightgbm
import msgspec
import numpy as np
import pytest
from nats.errors import NoRespondersError

from services.scoring import app as scoring_app
from shared.artefacts import Artefact, ArtefactError, Calibration, encode, fetch, store
from shared.contracts.models import ModelPromoted
from shared.features.formula import FORMULA
from shared.features.vector import FEATURE_SET, FEATURES
from shared.topology import FLAGS_BUCKET
from tests.bus import say, submitted
from tests.diffs import fix
from tests.outages import Frail
from tests.world import World, eventually

CONFIDENCE = "scoring.confidence"


def trained(**changes: Any) -> Artefact:
    """A small real model."""
    random = np.random.default_rng(1)
    x = random.normal(size=(200, len(FEATURES)))
    data = lightgbm.Dataset(x, label=(x[:, 0] > 0).astype(float), feature_name=list(FEATURES))
    booster = lightgbm.train({"objective": "binary", "num_threads": 1, "verbose": -1}, data, num_boost_round=3)
    whole = Artefact(
        kind="confidence",
        feature_set=FEATURE_SET,
        features=list(FEATURES),
        booster=booster.model_to_string(),
        begins_at=FORMULA,
        calibration=Calibration(method="platt", x=[0.0, 1.0], y=[0.1, 0.9]),
    )
    return msgspec.structs.replace(whole, **changes)


async def registered(world: World, number: int, artefact: Artefact, *, under: str | None = None) -> ModelPromoted:
    """What the trainer does before it says so: bytes, registry row, promotion. `under` is a name that is not theirs."""
    sha256, data = encode(artefact)
    await store(world.nats.jetstream(), under or sha256, data)
    version = f"confidence-{number}"
    await world.owner.execute("update trainer.models set status = 'retired' where status = 'champion'")
    await world.owner.execute(
        "insert into trainer.models (version, kind, number, status, metrics, rows, sha256, feature_set, lineage) "
        "values ($1, 'confidence', $2, 'champion', '{}', 200, $3, $4, '{}')",
        version,
        number,
        under or sha256,
        artefact.feature_set,
    )
    promotion_id = await world.owner.fetchval(
        "insert into trainer.model_promotions (version, kind, promoted_by, reason) "
        "values ($1, 'confidence', 'test', 'test') returning id",
        version,
    )
    return ModelPromoted(promotion_id=promotion_id, version=version, kind="confidence", sha256=under or sha256)


async def versions(world: World) -> set[str | None]:
    """What answers, asked often enough that each replica has had its turn."""
    asked = msgspec.json.encode([{"agent_id": "claude", "repository": "acme/shop", "diff": submitted().diff}])
    replies = await asyncio.gather(*(world.nats.request(CONFIDENCE, asked, timeout=5) for _ in range(20)))
    return {msgspec.json.decode(reply.data)[0]["value"]["model_version"] for reply in replies}


async def answer_with(world: World, *wanted: str | None) -> None:
    async def check() -> bool:
        try:
            found = await versions(world)
        except NoRespondersError:
            return False
        assert found == set(wanted), found
        return True

    await eventually(check)


def faults(app: Any) -> float:
    return float(app.registry.get_sample_value("ml_model_faults_total"))


async def test_every_replica_swaps_and_the_next_answer_carries_the_new_version(world: World) -> None:
    await world.start("scoring", "scoring", "patterns")
    api = await world.gateway()
    await answer_with(world, None)
    for number in (1, 2):
        await say(world, await registered(world, number, trained()))
        await answer_with(world, f"confidence-{number}")
        answer = await api.post("/v1/fixes", fix(), headers={"Prefer": "wait=5"})
        body = answer.json()
        assert (body["source"], body["model_version"], body["degraded"]) == ("model", f"confidence-{number}", False)


async def test_a_replica_that_starts_later_answers_with_the_champion(world: World) -> None:
    await registered(world, 1, trained())
    await world.start("scoring")
    await answer_with(world, "confidence-1")


async def test_a_promotion_missed_during_an_outage_is_caught_up_with(
    frail_world: World, outages: Frail, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring_app, "REFRESH_SECONDS", 60)
    await frail_world.start("scoring")
    await say(frail_world, await registered(frail_world, 1, trained()))
    await answer_with(frail_world, "confidence-1")
    await registered(frail_world, 2, trained())  # nobody is told
    await outages.stop("nats")
    await outages.start("nats")

    async def back() -> bool:
        return frail_world.nats.is_connected

    await eventually(back)
    await answer_with(frail_world, "confidence-2")


BROKEN = {
    "bytes that are not the registry's": ({}, "0" * 64),
    "another feature set": ({"feature_set": "another"}, None),
    "other features": ({"features": ["la"]}, None),
    "another formula beneath": ({"begins_at": "another"}, None),
    "another kind": ({"kind": "category"}, None),
    "no booster": ({"booster": "tree\nversion=v4\n"}, None),
    "a cycle": ({"booster": re.sub("left_child=[^ ]+", "left_child=0", trained().booster, count=1)}, None),
    "an index out of range": (
        {"booster": re.sub("left_child=[^ ]+", "left_child=999", trained().booster, count=1)},
        None,
    ),
    "NaN": ({"booster": re.sub("threshold=[^ ]+", "threshold=nan", trained().booster, count=1)}, None),
}


async def test_what_cannot_be_served_is_counted_and_leaves_the_old_model_answering(world: World) -> None:
    await registered(world, 1, trained())
    async with AsyncExitStack() as stack:
        app = await stack.enter_async_context(world.worker("scoring"))
        await answer_with(world, "confidence-1")
        for number, (changes, under) in enumerate(BROKEN.values(), 2):
            before = faults(app)
            await say(world, await registered(world, number, trained(**changes), under=under))

            async def counted(before: float = before) -> bool:
                return faults(app) > before

            await eventually(counted)
            assert await versions(world) == {"confidence-1"}
        await say(world, await registered(world, 100, trained()))
        await answer_with(world, "confidence-100")


async def test_a_model_of_a_gigabyte_is_refused_before_it_is_read(world: World) -> None:
    """The size stands beside the object; the bytes are not needed to tell."""
    promoted = await registered(world, 1, trained())
    js = world.nats.jetstream()
    subject = f"$O.models.M.{base64.urlsafe_b64encode(promoted.sha256.encode()).decode()}"
    said = await js.get_last_msg("OBJ_models", subject)
    meta = json.loads(said.data or b"") | {"size": 1 << 30}
    await js.publish(subject, json.dumps(meta).encode(), headers={"Nats-Rollup": "sub"})
    with pytest.raises(ArtefactError, match="1073741824 bytes"):
        await fetch(js, promoted.sha256)


async def test_an_artefact_with_a_byte_changed_in_the_bucket_is_refused(world: World) -> None:
    sha256, data = encode(trained())
    js = world.nats.jetstream()
    at = len(data) // 2
    await store(js, sha256, data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    with pytest.raises(ArtefactError, match="sha256"):
        await fetch(js, sha256)


async def test_the_model_before_is_back_at_once_though_its_artefact_is_gone(world: World) -> None:
    await world.start("scoring")
    first = await registered(world, 1, trained())
    await say(world, first)
    await answer_with(world, "confidence-1")
    other = trained(calibration=Calibration(method="platt", x=[0.0, 1.0], y=[0.2, 0.9]))
    await say(world, await registered(world, 2, other))
    await answer_with(world, "confidence-2")
    bucket = await world.nats.jetstream().object_store("models")
    await bucket.delete(first.sha256)
    promotion_id = await world.owner.fetchval(
        "insert into trainer.model_promotions (version, kind, promoted_by, reason) "
        "values ('confidence-1', 'confidence', 'test', 'back') returning id"
    )
    await say(world, msgspec.structs.replace(first, promotion_id=promotion_id))
    await answer_with(world, "confidence-1")


async def test_with_the_flag_off_the_formula_answers_although_there_is_a_model(world: World) -> None:
    await registered(world, 1, trained())
    await world.start("scoring")
    await answer_with(world, "confidence-1")
    bucket = await world.nats.jetstream().key_value(FLAGS_BUCKET)
    await bucket.put("model_scoring", b'{"on":false}')
    await answer_with(world, None)
    await bucket.put("model_scoring", b'{"on":true}')
    await answer_with(world, "confidence-1")


async def test_with_the_flag_off_no_gateway_tells_what_the_model_said_before(world: World) -> None:
    await registered(world, 1, trained())
    await world.start("scoring")
    await answer_with(world, "confidence-1")
    one, other = await world.gateway(), await world.gateway()
    asked = {"agent_id": "claude", "repository": "acme/shop", "diff": submitted().diff}

    async def said(source: str, cached: bool) -> bool:
        answers = [(await api.post("/v1/confidence", asked)).json() for api in (one, other)]
        return all((answer["source"], answer["cached"]) == (source, cached) for answer in answers)

    for _ in range(2):
        await eventually(lambda: said("model", cached=True))
        await one.call("PUT", "/v1/flags/model_scoring", json={"on": False})
        await eventually(lambda: said("formula", cached=False), seconds=3)
        assert all([await said("formula", cached=False) for _ in range(3)])
        await one.call("PUT", "/v1/flags/model_scoring", json={"on": True})


async def test_a_list_is_answered_in_order_and_only_those_are_explained_that_ask(world: World) -> None:
    await registered(world, 1, trained())
    await world.start("scoring")
    await answer_with(world, "confidence-1")
    plain = {"agent_id": "claude", "repository": "acme/shop"}
    change = plain | {"diff": submitted().diff}
    asked = [change, change | {"explain": True}, plain | {"diff": "no diff"}, change | {"explain": True}]
    reply = await world.nats.request(CONFIDENCE, msgspec.json.encode(asked), timeout=5)
    first, second, broken, last = msgspec.json.decode(reply.data)
    assert broken["problem"]["code"] == "invalid_diff"
    assert "contributions" not in first["value"]
    for explained in (second["value"], last["value"]):
        assert explained["confidence"] == first["value"]["confidence"]
        total = explained["base_value"] + sum(c["effect"] for c in explained["contributions"]) + explained["others"]
        assert total == pytest.approx(explained["raw_score"], abs=1e-6)


async def test_an_older_promotion_that_arrives_late_changes_nothing(world: World) -> None:
    old = await registered(world, 1, trained())
    new = await registered(world, 2, trained())
    await world.start("scoring")
    await say(world, new, old)
    await answer_with(world, "confidence-2")
