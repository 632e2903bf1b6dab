"""What scoring answers with an artefact is what the trainer judged."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import numpy as np
import pytest

from services.scoring.model import Model
from services.trainer import booster, dataset, judge
from services.trainer.calibrate import IDENTITY, calibrate
from shared.artefacts import Artefact, ArtefactError
from shared.features.formula import FORMULA
from shared.features.vector import FEATURE_SET, FEATURES
from tests.histories import standard, vectors

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
    trees = booster.fit(x, y, 0, FEATURES, booster.parameters(len(y), 1, 1))
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
    answers = np.array(Model("confidence-1", served).predict(x.tolist()))
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
    assert np.abs(np.array(Model("confidence-1", artefact).predict(x.tolist())) - judged).max() < 1e-9


def test_the_contributions_add_up_to_the_raw_log_odds(artefact: Artefact) -> None:
    model = Model("confidence-1", artefact)
    x, _ = rows(100, seed=4)
    raw = np.log(booster.predict(artefact.booster, x, 1) / (1 - booster.predict(artefact.booster, x, 1)))
    for vector, expected in zip(x.tolist(), raw.tolist(), strict=True):
        base, parts = model.explain(vector)
        assert base + sum(part.effect for part in parts) == pytest.approx(expected, abs=1e-6)
        assert [abs(p.effect) for p in parts] == sorted((abs(p.effect) for p in parts), reverse=True)


def test_a_model_on_top_of_another_formula_is_refused(artefact: Artefact) -> None:
    with pytest.raises(ArtefactError, match="another formula"):
        Model("confidence-1", msgspec.structs.replace(artefact, begins_at="0123456789abcdef"))


@pytest.mark.parametrize(
    "change", [{"feature_set": "older"}, {"features": list(FEATURES[::-1])}, {"features": list(FEATURES[:-1])}]
)
def test_a_model_of_other_features_is_refused(artefact: Artefact, change: dict[str, Any]) -> None:
    with pytest.raises(ArtefactError, match="other features"):
        Model("confidence-1", msgspec.structs.replace(artefact, **change))


def test_a_model_of_another_kind_is_refused(artefact: Artefact) -> None:
    with pytest.raises(ArtefactError, match="kind category"):
        Model("confidence-1", msgspec.structs.replace(artefact, kind="category"))
