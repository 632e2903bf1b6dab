"""The fitting process, from rows on disk to a result on disk."""

import asyncio
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import lightgbm
import numpy as np
import polars as pl
import pytest

from services.trainer import booster, dataset, job, process
from services.trainer.fit import rows_before, train
from services.trainer.job import Fitted, Job, Refused
from services.trainer.judge import predict
from services.trainer.split import by_time
from shared import trees
from shared.artefacts import decode
from shared.features.formula import FORMULA
from shared.features.vector import FEATURE_SET, FEATURES
from tests.histories import grown, standard, vectors

START = datetime(2024, 1, 1, tzinfo=UTC)


def history(count: int, seed: int = 1) -> list[dict[str, Any]]:
    """Fixes whose outcome depends on two features, of which the formula does not read one, `entropy`; every tenth
    vector does not know that one."""
    random = np.random.default_rng(seed)
    x = vectors(random, count)
    logit = 1.5 - 1.5 * standard(x, "la") + standard(x, "entropy")
    held = random.random(count) < booster.sigmoid(logit)
    x[::10, FEATURES.index("entropy")] = np.nan
    return [
        {
            "id": UUID(int=i),
            "submitted_at": START + timedelta(hours=2 * i),
            "features": x[i].tolist(),
            "held": bool(held[i]),
            "imported": True,
            "reporter": "operator",
        }
        for i in range(count)
    ]


def lay(directory: Path, rows: list[dict[str, Any]], **fields: Any) -> Path:
    directory.mkdir(exist_ok=True)
    for number in range(0, len(rows), 500):
        dataset.write_chunk(directory, number, rows[number : number + 500], FEATURES)
    task: dict[str, Any] = {
        "features": FEATURES,
        "feature_set": FEATURE_SET,
        "seed": 7,
        "threads": 1,
        "code_version": "0",
    } | fields
    job.write(directory, job.JOB, Job(**task))
    return directory


def fitted(directory: Path) -> Fitted:
    result = train(directory, lambda _: None)
    assert isinstance(result, Fitted), result
    return result


def test_a_learnable_history_gives_a_model_better_than_a_constant(tmp_path: Path) -> None:
    stages: list[str] = []
    result = train(lay(tmp_path, history(3000)), stages.append)
    assert isinstance(result, Fitted)
    assert result.verdict.promote
    assert stages == ["fitting", "calibrating", "evaluating"]
    assert result.metrics["auc"] > 0.75
    assert result.metrics["brier"] < result.metrics["constant"]["brier"]
    assert result.metrics["formula"]["gain"]["low"] > 0
    assert (result.rows, result.metrics["gap_days"]) == (3000, 30)
    assert result.trained_from == START
    assert START + timedelta(hours=2 * 2000) <= result.trained_until <= START + timedelta(hours=2 * 2400, days=-30)


def test_the_lineage_names_the_rows_the_formula_and_the_versions(tmp_path: Path) -> None:
    lineage = fitted(lay(tmp_path, history(600))).lineage
    assert (lineage["formula"], lineage["feature_set"]) == (FORMULA, FEATURE_SET)
    assert (lineage["rows"], lineage["rows_over_cap"]) == (600, 0)
    assert (lineage["data_from"], lineage["data_until"]) == (START, START + timedelta(hours=2 * 599))
    assert (lineage["seed"], lineage["code_version"]) == (7, "0")
    assert lineage["lightgbm_version"] == lightgbm.__version__
    assert lineage["data_sha256"] == dataset.read(tmp_path, FEATURES).sha256()


def test_the_artefact_answers_with_the_probabilities_that_were_judged(tmp_path: Path) -> None:
    directory = lay(tmp_path, history(3000))
    result = fitted(directory)
    artefact = decode((directory / job.ARTEFACT).read_bytes(), sha256=result.sha256)
    assert tuple(artefact.features) == FEATURES
    data = dataset.read(directory, FEATURES)
    newest = predict(artefact, data.x[-600:], 1)
    assert np.mean((newest - data.y[-600:]) ** 2) == pytest.approx(result.metrics["brier"])


@pytest.mark.parametrize(("rows", "identity"), [(600, True), (6000, False)])
def test_the_trees_learn_from_every_row_before_the_gap_that_no_curve_is_made_of(
    tmp_path: Path, rows: int, identity: bool
) -> None:
    result = fitted(lay(tmp_path, history(rows)))
    artefact = decode((tmp_path / job.ARTEFACT).read_bytes(), sha256=result.sha256)
    assert (artefact.calibration.method == "identity") is identity
    data = dataset.read(tmp_path, FEATURES)
    split = by_time(data.submitted_at)
    end = split.calibrate.stop if identity else split.stop.stop
    again = booster.fit(
        rows_before(data, split, end, booster.raw(None, data.x, 1)), FEATURES, result.lineage["parameters"]
    )
    assert trees.read(artefact.booster, FEATURES) == trees.read(again, FEATURES)


def test_the_same_rows_and_seed_give_the_same_bytes_in_whatever_order_they_come(tmp_path: Path) -> None:
    rows = history(1500)
    one, two = lay(tmp_path / "one", rows), lay(tmp_path / "two", rows[::-1])
    assert fitted(one).sha256 == fitted(two).sha256
    assert (one / job.ARTEFACT).read_bytes() == (two / job.ARTEFACT).read_bytes()
    assert fitted(lay(tmp_path / "other", rows, seed=8)).sha256 != fitted(one).sha256


def test_noise_is_judged_no_better_than_a_constant(tmp_path: Path) -> None:
    random = np.random.default_rng(5)
    noise = [row | {"features": x} for row, x in zip(history(1500), vectors(random, 1500).tolist(), strict=True)]
    result = fitted(lay(tmp_path, noise))
    assert result.metrics["auc"] < 0.6
    assert result.metrics["brier"] > 0.99 * result.metrics["constant"]["brier"]
    assert result.verdict.promote == (result.metrics["brier"] < result.metrics["constant"]["brier"])


def test_a_champion_is_beaten_only_by_what_is_better_on_the_same_rows(tmp_path: Path) -> None:
    small = lay(tmp_path / "small", history(300))
    large = lay(tmp_path / "large", history(6000, seed=2), champion="confidence-1")
    fitted(small)
    (large / job.CHAMPION).write_bytes((small / job.ARTEFACT).read_bytes())
    result = fitted(large)
    assert result.verdict.promote
    assert result.metrics["champion"]["version"] == "confidence-1"
    assert result.metrics["gain"]["low"] > 0
    (large / job.CHAMPION).write_bytes((large / job.ARTEFACT).read_bytes())
    again = fitted(large)
    assert not again.verdict.promote
    assert "not surely better" in again.verdict.reason


def test_enough_later_rows_stop_the_trees_before_they_learn_noise() -> None:
    random = np.random.default_rng(1)
    x = vectors(random, 9000)
    y = (random.random(9000) < booster.sigmoid(standard(x, "ld"))).astype(float)
    assert 1 < len(trees.read(grown(x, y, 2000), FEATURES)) < booster.MAX_ROUNDS
    assert len(trees.read(grown(x, y, 1999), FEATURES)) == booster.ROUNDS_WITHOUT_STOPPING


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([], "no fix"),
        (history(50), "50 fixes"),
        ([row | {"held": True} for row in history(500)], "all 500 outcomes are held"),
        ([row | {"held": i >= 100} for i, row in enumerate(history(500))], "the newest 100 fixes all held"),
    ],
)
def test_a_set_that_teaches_nothing_is_refused(tmp_path: Path, rows: list[dict[str, Any]], says: str) -> None:
    result = train(lay(tmp_path, rows), lambda _: None)
    assert isinstance(result, Refused)
    assert says in result.reason


def test_one_of_three_reporters_makes_up_at_most_half_of_the_rows() -> None:
    kept = dataset.capped(pl.Series(["a"] * 100 + ["b"] * 30 + ["c"] * 10))
    assert len(kept) == 80
    assert (kept < 100).sum() == 40
    assert kept[0] == 0
    assert 99 in kept


def test_imports_and_pairs_of_reporters_are_not_capped() -> None:
    assert len(dataset.capped(pl.Series(["a"] * 100 + ["b"] * 10))) == 110
    assert len(dataset.capped(pl.Series([None] * 500 + ["a", "b", "c"]))) == 503


async def test_the_process_says_its_stages_and_leaves_a_result(tmp_path: Path) -> None:
    stages: list[str] = []

    async def said(stage: str) -> None:
        stages.append(stage)

    result = await process.fit(lay(tmp_path, history(600)), said=said, stop=asyncio.Event(), limit_seconds=60)
    assert isinstance(result, Fitted)
    assert stages == ["fitting", "calibrating", "evaluating"]


async def _quiet(_: str) -> None: ...


async def test_a_crash_is_told_with_its_reason(tmp_path: Path) -> None:
    directory = lay(tmp_path, history(600))
    (directory / "rows-000000.arrow").write_bytes(b"not a table")
    with pytest.raises(process.FitFailedError, match=r"ended with code 1: .+"):
        await process.fit(directory, said=_quiet, stop=asyncio.Event(), limit_seconds=60)


async def test_a_stop_ends_the_process_at_once(tmp_path: Path) -> None:
    stop = asyncio.Event()

    async def stop_at_the_first_word(_: str) -> None:
        stop.set()

    with pytest.raises(process.StoppedError):
        await process.fit(lay(tmp_path, history(5000)), said=stop_at_the_first_word, stop=stop, limit_seconds=60)
    assert not (tmp_path / job.RESULT).exists()


async def test_a_fit_over_its_limit_is_ended(tmp_path: Path) -> None:
    with pytest.raises(process.FitFailedError, match="longer than"):
        await process.fit(lay(tmp_path, history(600)), said=_quiet, stop=asyncio.Event(), limit_seconds=0.05)


async def test_the_process_ends_when_its_parent_is_gone(tmp_path: Path) -> None:
    directory = lay(tmp_path / "job", history(600))
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.trainer.fit", str(directory), stdin=asyncio.subprocess.PIPE
    )
    assert child.stdin is not None
    child.stdin.close()
    assert await asyncio.wait_for(child.wait(), 60) == 1
    assert list(tmp_path.iterdir()) == []
