"""The trainer against real servers: from a request on the bus to a registered, promoted model."""

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import numpy as np
import pytest

from services.trainer.calibrate import IDENTITY
from shared.artefacts import Artefact, encode, fetch, store
from shared.features.formula import FORMULA
from shared.features.vector import FEATURE_SET, FEATURES
from tests.histories import grown, standard, vectors
from tests.world import World, eventually

RETRAIN = "models.retrain_requested.v1"
PROMOTE = "models.promotion_requested.v1"
START = datetime(2024, 1, 1, tzinfo=UTC)
RUN_SECONDS = 120.0


async def settle(world: World, count: int, *, reporter: str = "ci", imported: bool = False, seed: int = 1) -> None:
    """Fixes of the principal `agent`, every fourth or so failed, the larger the sooner."""
    random = np.random.default_rng(seed)
    x = vectors(random, count)
    held = random.random(count) < 1 / (1 + np.exp(-(1.5 - 2 * standard(x, "la"))))
    ids = [uuid4() for _ in range(count)]
    times = [START + timedelta(hours=2 * i) for i in range(count)]
    await world.owner.executemany(
        "insert into scoring.agent_auto_fixes (id, principal, agent_id, repository, submitted_at, scored_at, "
        "confidence, status, features, feature_set) values ($1, 'agent', 'a', 'r', $2, $2, 0.5, 'scored', $3, $4)",
        [(i, at, row.tolist(), FEATURE_SET) for i, at, row in zip(ids, times, x, strict=True)],
    )
    await world.owner.executemany(
        "insert into scoring.fix_outcomes (outcome_id, fix_id, reporter, kind, observed_at, reported_at, imported, "
        "state, effective) values ($1, $1, $2, $3, $4, $4, $5, 'accepted', true)",
        [
            (i, reporter, "held" if ok else "reverted", at + timedelta(days=30), imported)
            for i, at, ok in zip(ids, times, held.tolist(), strict=True)
        ],
    )


async def ask(world: World, subject: str = RETRAIN, **fields: Any) -> None:
    """As anyone with the right would, with a plain client and no headers."""
    await world.nats.jetstream().publish(subject, json.dumps(fields).encode())


async def listen(world: World) -> list[tuple[str, dict[str, Any]]]:
    """What the trainer says from now on, in order."""
    heard: list[tuple[str, dict[str, Any]]] = []

    async def take(message: Any) -> None:
        heard.append((message.subject, json.loads(message.data)))

    for subject in ("models.training_progressed.v1", "models.trained.v1", "models.promoted.v1"):
        await world.nats.subscribe(subject, cb=take)
    await world.nats.flush()
    return heard


def ended(world: World, count: int = 1) -> Callable[[], Awaitable[list[dict[str, Any]]]]:
    async def check() -> list[dict[str, Any]]:
        rows = await world.owner.fetch(
            "select * from trainer.training_runs where finished_at is not null order by finished_at, created_at"
        )
        return [dict(row) for row in rows] if len(rows) >= count else []

    return check


async def runs(world: World, count: int = 1) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = await eventually(ended(world, count), RUN_SECONDS)
    return found


async def models(world: World) -> list[tuple[str, str]]:
    return [tuple(row) for row in await world.owner.fetch("select version, status from trainer.models order by number")]


@pytest.fixture(scope="module")
def fitted() -> tuple[str, bytes]:
    """(sha256, bytes) of an artefact, for the tests that need a model and not its making."""
    random = np.random.default_rng(1)
    x = vectors(random, 600)
    y = (random.random(600) < 0.8).astype(float)
    return encode(
        Artefact(
            kind="confidence",
            feature_set=FEATURE_SET,
            features=list(FEATURES),
            booster=grown(x, y),
            begins_at=FORMULA,
            calibration=IDENTITY,
        )
    )


async def register(world: World, artefact: tuple[str, bytes], *statuses: str) -> None:
    """`confidence-1`, `confidence-2` …, all the same artefact."""
    await store(world.nats.jetstream(), *artefact)
    await world.owner.executemany(
        "insert into trainer.models (version, kind, number, status, metrics, rows, sha256, feature_set, lineage) "
        "values ('confidence-' || $1::int, 'confidence', $1, $2, '{}', 600, $3, $4, '{}')",
        [(number, status, artefact[0], FEATURE_SET) for number, status in enumerate(statuses, 1)],
    )


async def test_a_bare_request_ends_in_a_promoted_model_whose_bytes_can_be_fetched(world: World) -> None:
    await settle(world, 600)
    await world.start("trainer")
    heard = await listen(world)
    await ask(world)
    (run,) = await runs(world)
    assert (run["status"], run["model_version"], run["stage"], run["progress"]) == (
        "succeeded",
        "confidence-1",
        "done",
        1.0,
    )
    model = await world.owner.fetchrow("select * from trainer.models")
    assert (model["status"], model["rows"], model["feature_set"]) == ("champion", 600, FEATURE_SET)
    artefact = await fetch(world.nats.jetstream(), model["sha256"])
    assert tuple(artefact.features) == FEATURES

    async def promoted() -> list[dict[str, Any]]:
        return [body for subject, body in heard if subject == "models.promoted.v1"]

    (promotion,) = await eventually(promoted)
    assert (promotion["version"], promotion["sha256"]) == ("confidence-1", model["sha256"])
    stages = [body["stage"] for subject, body in heard if subject == "models.training_progressed.v1"]
    assert stages == ["loading", "fitting", "calibrating", "evaluating", "registering"]


@pytest.mark.parametrize(
    ("request_fields", "says"),
    [({}, "100 fixes with an outcome"), ({"kind": "category"}, "0 changes with a declared or corrected category")],
)
async def test_a_run_that_cannot_succeed_fails_with_its_reason(
    world: World, request_fields: dict[str, Any], says: str
) -> None:
    await settle(world, 100)
    await settle(world, 300, reporter="agent")  # of its own fixes: they teach nothing
    await world.start("trainer")
    heard = await listen(world)
    await ask(world, **request_fields)
    (run,) = await runs(world)
    assert run["status"] == "failed"
    assert says in run["reason"]
    assert await models(world) == []

    async def told() -> list[dict[str, Any]]:
        return [body for subject, body in heard if subject == "models.trained.v1"]

    (trained,) = await eventually(told)
    assert (trained["status"], trained["reason"]) == ("failed", run["reason"])


async def test_an_import_of_the_submitter_counts_and_what_it_reports_itself_does_not(world: World) -> None:
    await settle(world, 300, reporter="agent", imported=True)
    await settle(world, 200, reporter="agent")
    await world.start("trainer")
    await ask(world)
    (run,) = await runs(world)
    assert run["status"] == "succeeded"
    assert await world.owner.fetchval("select rows from trainer.models") == 300


async def test_requests_that_meet_a_run_under_way_join_it_in_all_replicas(world: World) -> None:
    await settle(world, 600)
    await world.start("trainer", "trainer")
    for _ in range(3):
        await ask(world)
    found = await runs(world, 3)
    assert {run["status"] for run in found} == {"succeeded"}
    assert {run["model_version"] for run in found} == {"confidence-1"}
    (leader,) = [run for run in found if run["joined_run_id"] is None]
    assert {run["joined_run_id"] for run in found} == {None, leader["run_id"]}
    assert await models(world) == [("confidence-1", "champion")]


async def test_a_request_heard_twice_is_done_once_and_a_later_one_is_a_run_of_its_own(world: World) -> None:
    await settle(world, 600)
    await world.start("trainer")
    heard = await listen(world)
    run_id = str(uuid4())
    await ask(world, run_id=run_id)
    await runs(world)
    await ask(world, run_id=run_id)
    await _acknowledged(world, "trainer_models_retrain_requested_v1")
    assert await models(world) == [("confidence-1", "champion")]
    assert [subject for subject, _ in heard].count("models.trained.v1") == 1
    await ask(world)
    second = (await runs(world, 2))[1]
    assert second["joined_run_id"] is None
    assert "not surely better than the champion" in second["reason"]
    assert await models(world) == [("confidence-1", "champion"), ("confidence-2", "rejected")]


async def _acknowledged(world: World, durable: str) -> None:
    async def idle() -> bool:
        info = await world.nats.jetstream().consumer_info("MODELS", durable)
        return not info.num_pending and not info.num_ack_pending

    await eventually(idle)


async def test_a_run_cut_off_by_a_stop_is_finished_by_the_next_replica(world: World) -> None:
    await settle(world, 3000)
    heard = await listen(world)

    async def fitting() -> bool:
        return any(body.get("stage") == "fitting" for _, body in heard)

    async with world.worker("trainer"):
        await ask(world)
        await eventually(fitting, RUN_SECONDS)
    assert await ended(world)() == []
    assert await models(world) == []
    await world.start("trainer")
    (run,) = await runs(world)
    assert run["status"] == "succeeded"
    assert await models(world) == [("confidence-1", "champion")]


async def test_a_promotion_by_hand_puts_an_earlier_model_back_and_says_who_and_why(
    world: World, fitted: tuple[str, bytes]
) -> None:
    await register(world, fitted, "champion", "rejected")
    await world.start("trainer")
    heard = await listen(world)
    request = {"request_id": str(uuid4()), "requested_by": "ana", "reason": "trial"}
    await ask(world, PROMOTE, version="confidence-2", **request)
    await ask(world, PROMOTE, version="confidence-2", **request)

    async def promotions() -> list[tuple[Any, ...]]:
        query = "select version, previous, promoted_by, reason from trainer.model_promotions order by id"
        return [tuple(row) for row in await world.owner.fetch(query)]

    await eventually(promotions)
    await _acknowledged(world, "trainer_models_promotion_requested_v1")
    assert await promotions() == [("confidence-2", "confidence-1", "ana", "trial")]
    assert await models(world) == [("confidence-1", "retired"), ("confidence-2", "champion")]
    assert [body["version"] for _, body in heard] == ["confidence-2"]


async def test_the_promotion_of_an_unknown_model_goes_to_the_dead_letters(world: World) -> None:
    await world.start("trainer")
    dead = await world.nats.jetstream().subscribe("dead.trainer.>")
    await ask(world, PROMOTE, version="confidence-9", request_id=str(uuid4()), requested_by="ana")
    message = await dead.next_msg(timeout=10)
    assert message.headers["precedent-reason"] == "no model confidence-9"
    assert await models(world) == []


async def test_a_champion_of_other_features_is_replaced_by_a_model_that_beats_the_constant(world: World) -> None:
    await settle(world, 600)
    await world.owner.execute(
        "insert into trainer.models (version, kind, number, status, metrics, rows, sha256, feature_set, lineage) "
        "values ('confidence-1', 'confidence', 1, 'champion', '{}', 1, 'gone', 'older', '{}')"
    )
    await world.start("trainer")
    await ask(world)
    await runs(world)
    assert await models(world) == [("confidence-1", "retired"), ("confidence-2", "champion")]
    metrics = json.loads(await world.owner.fetchval("select metrics from trainer.models where number = 2"))
    assert "reads other features" in metrics["notes"][0]


async def test_a_run_that_keeps_failing_is_ended_before_its_request_goes_to_the_dead_letters(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.delivery.TRIES", 2)
    await world.owner.execute("alter table trainer.training_runs add constraint broken check (stage <> 'fitting')")
    await settle(world, 600)
    await world.start("trainer")
    dead = await world.nats.jetstream().subscribe("dead.trainer.>")
    run_id = uuid4()
    await ask(world, run_id=str(run_id))
    await dead.next_msg(timeout=RUN_SECONDS)
    (run,) = await runs(world)
    assert (run["run_id"], run["status"]) == (run_id, "failed")
    assert "broken" in run["reason"]


async def test_a_request_that_is_none_goes_to_the_dead_letters(world: World) -> None:
    await world.start("trainer")
    dead = await world.nats.jetstream().subscribe("dead.trainer.>")
    await ask(world, kind="weather")
    message = await dead.next_msg(timeout=10)
    assert "weather" in message.headers["precedent-reason"]
    assert await world.owner.fetchval("select count(*) from trainer.training_runs") == 0
