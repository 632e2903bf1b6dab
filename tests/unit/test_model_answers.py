"""What scoring answers with an artefact is what the trainer judged."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import numpy as np
import pytest

from services.scoring.model import TOP, Model, explain, predict
from services.trainer import booster, dataset, judge
from services.trainer.calibrate import IDENTITY, calibrate
from shared.artefacts import Artefact, ArtefactError
from shared.features.formula import FORMULA, formula, log_odds
from shared.features.vector import FEATURE_SET, FEATURES
from shared.predictor import Predictor
from tests.histories import grown, standard, vectors

START = datetime(2024, 1, 1, tzinfo=UTC)
Array = np.ndarray[Any, np.dtype[Any]]


def rows(count: int, seed: int) -> tuple[Array, Array]:
    """Every fifth vector knows nothing of the author; some are far outside what a formula was fitted on."""
    random = np.random.default_rng(seed)
    x = vectors(random, count)
    y = (random.random(count) < booster.sigmoid(1 - 2 * standard(x, "ld"))).astype(float)
    x[::5, FEATURES.index("author_failure_rate")] = np.nan
    x[::7, FEATURES.index("la")] = 1e9
    return x, y


@pytest.fixture(scope="module")
def artefact() -> Artefact:
    x, y = rows(1500, seed=1)
    trees = grown(x, y)
    return Artefact(
        kind="confidence",
        feature_set=FEATURE_SET,
        features=list(FEATURES),
        booster=trees,
        begins_at=FORMULA,
        calibration=calibrate(booster.predict(trees, x, 1), y, float(y.mean())),
    )


@pytest.mark.parametrize("calibrated", [True, False])
def test_scoring_answers_with_the_probabilities_the_trainer_judged(artefact: Artefact, calibrated: bool) -> None:
    served = artefact if calibrated else msgspec.structs.replace(artefact, calibration=IDENTITY)
    assert (served.calibration.method == "identity") is not calibrated
    x, _ = rows(400, seed=2)
    answers = np.array([Predictor(served)(v) for v in x.tolist()])
    assert np.abs(answers - judge.predict(served, x, 1)).max() < 1e-9
    assert answers.std() > 0.05


def test_vectors_read_back_from_the_training_set_are_answered_alike(artefact: Artefact, tmp_path: Path) -> None:
    """The trainer reads them from Arrow files, scoring has them as it computed them."""
    x, _ = rows(50, seed=3)
    made = [
        {
            "id": UUID(int=i),
            "submitted_at": START + timedelta(hours=i),
            "features": v,
            "held": True,
            "imported": True,
            "reporter": None,
        }
        for i, v in enumerate(x.tolist())
    ]
    dataset.write_chunk(tmp_path, 0, made, FEATURES)
    judged = judge.predict(artefact, dataset.read(tmp_path, FEATURES).x, 1)
    answers = np.array([Predictor(artefact)(v) for v in x.tolist()])
    assert np.abs(answers - judged).max() < 1e-9


def test_the_contributions_add_up_to_the_raw_log_odds(artefact: Artefact) -> None:
    x, _ = rows(100, seed=4)
    raw = np.log(booster.predict(artefact.booster, x, 1) / (1 - booster.predict(artefact.booster, x, 1)))
    explained = Predictor(artefact).explain(x.tolist())
    for vector, (base, effect), expected in zip(x.tolist(), explained, raw.tolist(), strict=True):
        assert base + sum(effect.values()) == pytest.approx(expected, abs=1e-6)
        assert Predictor(artefact).log_odds(vector) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("with_model", [True, False])
def test_an_explanation_lists_the_largest_effects_and_sums_up_the_others(artefact: Artefact, with_model: bool) -> None:
    model = Model("confidence-1", "0" * 64, Predictor(artefact)) if with_model else None
    x, _ = rows(50, seed=5)
    for vector, found in zip(x.tolist(), explain(model, x.tolist()), strict=True):
        sizes = [abs(part.effect) for part in found.contributions]
        assert len(sizes) <= TOP
        assert sizes == sorted(sizes, reverse=True)
        values = dict(zip(FEATURES, vector, strict=True))
        assert all(part.value == (None if np.isnan(v := values[part.feature]) else v) for part in found.contributions)
        listed = found.base_value + sum(part.effect for part in found.contributions)
        assert listed + found.others == pytest.approx(found.raw_score, abs=1e-6)
        raw = model.predictor.log_odds(vector) if model else log_odds(vector)
        assert found.raw_score == pytest.approx(raw, abs=1e-6)


def test_explanations_from_many_threads_at_once_are_those_of_one(artefact: Artefact) -> None:
    predictor = Predictor(artefact)
    x, _ = rows(40, seed=6)
    alone = predictor.explain(x.tolist())
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda v: predictor.explain([v])[0], x.tolist() * 5))
    for (base, effect), (expected_base, expected) in zip(together, alone * 5, strict=True):
        assert base == expected_base
        assert effect == pytest.approx(expected)


def test_predictions_go_on_right_while_others_explain(artefact: Artefact) -> None:
    predictor = Predictor(artefact)
    x, _ = rows(200, seed=7)
    expected = [predictor(v) for v in x.tolist()]
    with ThreadPoolExecutor(2) as pool:
        explaining = [pool.submit(predictor.explain, x.tolist()) for _ in range(4)]
        assert [predictor(v) for v in x.tolist()] == expected
        assert all(len(done.result()) == len(x) for done in explaining)


def test_without_a_model_the_formula_answers() -> None:
    x, _ = rows(20, seed=8)
    found = predict(None, x.tolist())
    assert [p.confidence for p in found] == [formula(v) for v in x.tolist()]
    assert {(p.source, p.model_version) for p in found} == {("formula", None)}


def test_a_model_on_top_of_another_formula_is_refused(artefact: Artefact) -> None:
    with pytest.raises(ArtefactError, match="another formula"):
        Predictor(msgspec.structs.replace(artefact, begins_at="0123456789abcdef"))


@pytest.mark.parametrize(
    "change", [{"feature_set": "older"}, {"features": list(FEATURES[::-1])}, {"features": list(FEATURES[:-1])}]
)
def test_a_model_of_other_features_is_refused(artefact: Artefact, change: dict[str, Any]) -> None:
    with pytest.raises(ArtefactError, match="other features"):
        Predictor(msgspec.structs.replace(artefact, **change))


def test_a_model_of_another_kind_is_refused(artefact: Artefact) -> None:
    with pytest.raises(ArtefactError, match="kind category"):
        Predictor(msgspec.structs.replace(artefact, kind="category"))
