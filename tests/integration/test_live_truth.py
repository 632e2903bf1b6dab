"""How a model turned out where it was used: told by version, shown as a metric, and heard by the trainer."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

from services.scoring import app as scoring_app
from services.scoring import drift
from tests.bus import said
from tests.integration.test_models import answer_with, registered, trained
from tests.world import World, eventually

REQUESTED = "models.retrain_requested.v1"
START = datetime.now(UTC) - timedelta(days=60)


async def scored(world: World, confidences: Sequence[float], *, imported: bool = False) -> list[UUID]:
    """Fixes that `confidence-1` scored, one a minute from `START` on."""
    ids = [uuid4() for _ in confidences]
    await world.owner.executemany(
        "insert into scoring.agent_auto_fixes (id, principal, agent_id, repository, submitted_at, scored_at, "
        "confidence, source, model_version, status, imported) "
        "values ($1, 'agent', 'a', 'r', $2, $2, $3, 'model', 'confidence-1', 'scored', $4)",
        [(i, START + timedelta(minutes=n), c, imported) for n, (i, c) in enumerate(zip(ids, confidences, strict=True))],
    )
    return ids


async def turned_out(world: World, ids: Sequence[UUID], kinds: Sequence[str], **changes: Any) -> None:
    """A month after the fix, unless said otherwise."""
    after = {"observed_after": timedelta(days=30), "reported_after": timedelta(days=30), "imported": False} | changes
    await world.owner.executemany(
        "insert into scoring.fix_outcomes (outcome_id, fix_id, reporter, kind, observed_at, reported_at, imported, "
        "state, effective) select $1, id, 'ci', $3, scored_at + $4, scored_at + $5, $6, 'accepted', true "
        "from scoring.agent_auto_fixes where id = $2",
        [
            (uuid4(), i, kind, after["observed_after"], after["reported_after"], after["imported"])
            for i, kind in zip(ids, kinds, strict=True)
        ],
    )


async def test_predicted_stands_beside_observed_for_what_came_after_the_prediction(world: World) -> None:
    await registered(world, 1, trained())
    sure, unsure = await scored(world, [0.92] * 100), await scored(world, [0.52] * 25)
    few = await scored(world, [0.12] * 19)
    await turned_out(world, sure, ["held"] * 80 + ["reverted"] * 10 + ["fixed_again"] * 10)
    await turned_out(world, unsure, ["held"] * 10 + ["reverted"] * 15)
    await turned_out(world, few, ["reverted"] * 19)
    # None of these says how well it predicted.
    await turned_out(world, await scored(world, [0.92] * 50), ["merged"] * 50)
    await turned_out(world, await scored(world, [0.92] * 50, imported=True), ["reverted"] * 50)
    await turned_out(world, await scored(world, [0.92] * 50), ["reverted"] * 50, observed_after=timedelta(days=-1))
    api = await world.gateway()
    found = (await api.get("/v1/models/confidence-1/calibration")).json()
    bins = {b["low"]: b for b in found["bins"] if b["count"]}
    assert len(found["bins"]) == 20
    assert bins == {
        0.9: {"low": 0.9, "high": 0.95, "count": 100, "predicted": pytest.approx(0.92), "observed": 0.8},
        0.5: {"low": 0.5, "high": 0.55, "count": 25, "predicted": pytest.approx(0.52), "observed": 0.4},
        0.1: {"low": 0.1, "high": 0.15, "count": 19, "predicted": None, "observed": None},
    }
    assert (found["version"], found["count"], found["base_rate"]) == ("confidence-1", 144, pytest.approx(90 / 144))
    assert found["calibration_error"] == pytest.approx((100 * 0.12 + 25 * 0.12 + 19 * 0.12) / 144)
    squares = 80 * 0.08**2 + 20 * 0.92**2 + 10 * 0.48**2 + 15 * 0.52**2 + 19 * 0.12**2
    assert found["brier"] == pytest.approx(squares / 144)


async def test_too_few_outcomes_are_counted_and_nothing_is_made_of_them(world: World) -> None:
    await registered(world, 1, trained())
    await turned_out(world, await scored(world, [0.9] * 99), ["held"] * 99)
    api = await world.gateway()
    found = (await api.get("/v1/models/confidence-1/calibration")).json()
    assert (found["count"], found["base_rate"], found["calibration_error"], found["brier"]) == (99, None, None, None)
    assert (await api.get("/v1/models/confidence-9/calibration")).status_code == 404


async def test_the_same_is_a_metric_and_absent_while_it_is_not_known(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring_app, "WATCH_SECONDS", 0.05)
    await registered(world, 1, trained())
    async with world.worker("scoring") as app:
        await answer_with(world, "confidence-1")
        sample = app.registry.get_sample_value
        ids = await scored(world, [0.92] * 120)
        await turned_out(world, ids[:60], ["held"] * 60)

        async def counted() -> bool:
            return sample("ml_live_outcomes") == 60

        await eventually(counted)
        assert sample("ml_calibration_error", {"kind": "confidence"}) is None
        await turned_out(world, ids[60:], ["held"] * 36 + ["reverted"] * 24)

        async def known() -> bool:
            return sample("ml_calibration_error", {"kind": "confidence"}) == pytest.approx(0.12)

        await eventually(known)


async def test_replicas_that_see_the_same_cause_ask_for_one_run(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring_app, "WATCH_SECONDS", 0.05)
    monkeypatch.setattr(drift, "MIN_NEW", 30)
    await world.start("scoring", "scoring")
    ids = await scored(world, [0.9] * 40)
    await turned_out(world, ids[:29], ["held"] * 29)
    await turned_out(world, ids[29:], ["held"] * 11, imported=True, reported_after=timedelta(days=60))

    async def asked() -> list[Any]:
        return await said(world, "MODELS", REQUESTED)

    await world.owner.execute("select pg_sleep(0.5)")
    assert await asked() == [], "29 are not enough, and with an import under way more are coming"
    await world.owner.execute("update scoring.fix_outcomes set reported_at = reported_at - interval '1 day'")
    await eventually(asked)
    await world.owner.execute("select pg_sleep(1)")  # many more looks of both
    [request] = await asked()
    body = msgspec.json.decode(request.data)
    assert (body["kind"], body["requested_by"]) == ("confidence", "scoring")
    assert "30 outcomes" in body["reason"]


async def test_a_drift_asks_with_a_day_between_and_not_at_all_with_its_flag_off(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring_app, "WATCH_SECONDS", 0.05)
    monkeypatch.setattr(drift, "WINDOW", 50)
    await registered(world, 1, trained())
    bucket = await world.nats.jetstream().key_value("flags")
    await bucket.put("drift_requests", b'{"on":false}')
    ids = await scored(world, [0.9 + n / 1000 for n in range(50)] + [0.5 + n / 1000 for n in range(50)])
    await turned_out(world, ids[:1], ["held"])
    async with world.worker("scoring") as app:

        async def seen() -> bool:
            return bool((app.registry.get_sample_value("ml_score_shift") or 0) > drift.SHIFTED)

        await eventually(seen)
        assert await said(world, "MODELS", REQUESTED) == []
        await bucket.put("drift_requests", b'{"on":true}')

        async def asked() -> list[Any]:
            return await said(world, "MODELS", REQUESTED)

        [request] = await eventually(asked)
        assert "drifted" in msgspec.json.decode(request.data)["reason"]


async def test_changes_whose_category_was_told_ask_for_a_model_of_categories(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring_app, "WATCH_SECONDS", 0.05)
    monkeypatch.setattr(drift, "MIN_NEW", 30)
    await world.start("scoring")
    ids = await scored(world, [0.9] * 60)

    async def told(fix_types: Sequence[str | None]) -> None:
        await world.owner.executemany(
            "update scoring.agent_auto_fixes set diff = 'd', fix_type = $2 where id = $1",
            list(zip(ids, fix_types, strict=False)),
        )

    async def asked() -> list[Any]:
        return await said(world, "MODELS", REQUESTED)

    await told(["fix"] * 15 + ["Perf"] * 14 + ["feat"] * 20 + [None] * 11)
    await world.owner.execute("select pg_sleep(0.5)")
    assert await asked() == [], "29 are not enough; a feature says nothing of the category"
    await told(["fix"] * 15 + ["perf"] * 15)
    [request] = await eventually(asked)
    body = msgspec.json.decode(request.data)
    assert (body["kind"], body["requested_by"]) == ("category", "scoring")
    assert "30 changes whose category was told" in body["reason"]
    await world.owner.execute("select pg_sleep(0.5)")
    assert len(await asked()) == 1
