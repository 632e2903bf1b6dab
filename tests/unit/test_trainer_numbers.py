"""Splits, calibration and scores: the arithmetic a model is judged by."""

import itertools
from typing import Any

import numpy as np
import pytest

from services.trainer.booster import sigmoid
from services.trainer.calibrate import apply, calibrate
from services.trainer.evaluate import auc, brier_gain, ece, reliability, scores
from services.trainer.split import by_time
from shared import trees
from shared.artefacts import Artefact, decode, encode

Array = np.ndarray[Any, np.dtype[Any]]


def days(count: int, per_day: int) -> Array:
    return np.datetime64("2024-01-01", "us") + (np.arange(count) // per_day) * np.timedelta64(1, "D")


def skewed(rows: int, seed: int = 1) -> tuple[Array, Array]:
    """Raw probabilities that are too sure of themselves by a factor of two in log-odds, and their outcomes."""
    random = np.random.default_rng(seed)
    logit = random.normal(1.0, 1.0, rows)
    y = (random.random(rows) < sigmoid(logit)).astype(float)
    return sigmoid(2 * logit), y


def test_a_long_history_keeps_thirty_days_before_the_evaluation() -> None:
    at = days(7000, 7)
    split = by_time(at)
    assert split.gap_days == 30
    assert at[split.evaluate.start] - at[split.calibrate.stop - 1] >= np.timedelta64(30, "D")
    assert split.evaluate == slice(5600, 7000)


@pytest.mark.parametrize(("per_day", "gap"), [(100, 14), (500, 3), (100_000, 0)])
def test_a_short_history_gets_a_shorter_gap_rather_than_no_rows(per_day: int, gap: int) -> None:
    split = by_time(days(7000, per_day))
    assert split.gap_days == gap
    assert sum(split.sizes().values()) >= 0.75 * 7000


def test_the_parts_follow_each_other_and_share_no_row() -> None:
    split = by_time(days(1000, 1))
    parts = (split.fit, split.stop, split.calibrate, split.evaluate)
    assert all(a.start < a.stop <= b.start for a, b in itertools.pairwise(parts))


@pytest.mark.parametrize(("rows", "method"), [(5000, "isotonic"), (999, "platt"), (200, "platt"), (199, "identity")])
def test_calibration_fits_the_number_of_rows(rows: int, method: str) -> None:
    assert calibrate(*skewed(rows), 0.7).method == method


def drifting(rows: int, seed: int = 1) -> tuple[Array, Array]:
    """Raw probabilities that hold on the whole, and outcomes that hold less often first and more often later."""
    random = np.random.default_rng(seed)
    logit = random.normal(1.0, 1.0, rows)
    drift = np.where(np.arange(rows) < rows // 2, -0.7, 0.7)
    return sigmoid(logit), (random.random(rows) < sigmoid(logit + drift)).astype(float)


@pytest.mark.parametrize("rows", [300, 1500, 5000])
def test_a_curve_that_follows_yesterdays_rates_is_not_kept(rows: int) -> None:
    raw, y = drifting(rows)
    calibration = calibrate(raw, y, 0.7)
    assert calibration.method == "identity"
    assert apply(calibration, raw) == pytest.approx(raw, abs=1e-15)


def test_a_curve_is_not_drawn_through_a_few_failures() -> None:
    raw, y = skewed(5000)
    few = np.flatnonzero((y == 1) | (np.cumsum(y == 0) <= 49))
    assert calibrate(raw[few], y[few], 0.7).method == "identity"


@pytest.mark.parametrize("rows", [500, 5000])
def test_what_is_calibrated_already_is_left_about_as_it_is(rows: int) -> None:
    random = np.random.default_rng(1)
    raw = sigmoid(random.normal(1.0, 1.0, rows + 20_000))
    y = (random.random(len(raw)) < raw).astype(float)
    calibration = calibrate(raw[:rows], y[:rows], 0.7)
    newest = slice(rows, None)
    assert ece(apply(calibration, raw[newest]), y[newest]) < 0.03


@pytest.mark.parametrize("rows", [500, 5000])
def test_calibration_mends_overconfidence_on_new_rows(rows: int) -> None:
    calibration = calibrate(*skewed(rows), 0.7)
    raw, y = skewed(20_000, seed=2)
    assert ece(apply(calibration, raw), y) < 0.5 * ece(raw, y)


@pytest.mark.parametrize("rows", [50, 300, 3000])
@pytest.mark.parametrize("outcome", [None, 0.0, 1.0])
def test_every_calibration_may_be_served_and_answers_neither_never_nor_always(rows: int, outcome: float | None) -> None:
    raw, y = skewed(rows)
    y = y if outcome is None else np.full(rows, outcome)
    raw[: rows // 3] = 0.5
    calibration = calibrate(raw, y, 0.7)
    artefact = Artefact(
        kind="confidence",
        feature_set="f",
        features=["a"],
        booster=trees.write([trees.Tree([], [], [], [], [], [0.0], [1])], ["a"]),
        begins_at="g",
        calibration=calibration,
    )
    sha256, data = encode(artefact)
    served = decode(data, sha256=sha256).calibration
    answers = np.array([served(p) for p in raw.tolist()])
    assert answers == pytest.approx(apply(calibration, raw))
    assert ((answers > 0) & (answers < 1)).all()


def test_a_score_that_runs_the_wrong_way_is_shrunk_instead_of_turned_round() -> None:
    raw, y = skewed(500)
    assert calibrate(raw, 1 - y, 0.3).method == "base_rate"


def test_ties_count_half_in_the_auc() -> None:
    y = np.array([0.0, 0.0, 1.0, 1.0])
    assert auc(np.array([0.1, 0.2, 0.3, 0.4]), y) == 1.0
    assert auc(np.array([0.5, 0.5, 0.5, 0.5]), y) == 0.5
    assert auc(np.array([0.1, 0.3, 0.3, 0.4]), y) == 0.875
    assert auc(np.array([0.1, 0.3]), np.ones(2)) is None


def test_scores_of_a_hand_made_case() -> None:
    found = scores(np.array([0.9, 0.6, 0.4, 0.2]), np.array([1.0, 0.0, 1.0, 0.0]))
    assert found.brier == pytest.approx((0.01 + 0.36 + 0.36 + 0.04) / 4)
    assert found.brier_skill == pytest.approx(1 - found.brier / 0.25)
    assert (found.accuracy, found.precision, found.recall, found.f1) == (0.5, 0.5, 0.5, 0.5)
    assert found.log_loss == pytest.approx(-np.log([0.9, 0.4, 0.4, 0.8]).mean())
    assert found.base_rate == 0.5


def test_a_constant_has_the_error_of_its_mean_in_whatever_order_the_rows_come() -> None:
    found = scores(np.full(1000, 0.8), np.repeat([0.0, 1.0], [300, 700]))
    assert found.ece == pytest.approx(0.1)
    assert (found.auc, found.r) == (0.5, None)


def test_numbers_that_are_not_defined_are_none() -> None:
    found = scores(np.full(10, 0.2), np.ones(10))
    assert (found.auc, found.brier_skill, found.precision, found.f1, found.r) == (None, None, None, None, None)


def test_reliability_counts_every_row_in_ten_bins() -> None:
    random = np.random.default_rng(3)
    p = random.random(5000)
    deciles = reliability(p, (random.random(5000) < p).astype(float))
    assert [b.rows for b in deciles] == pytest.approx([500] * 10, abs=2)
    assert all(abs(b.confidence - b.held) < 0.08 for b in deciles)


def test_the_gain_of_a_better_model_excludes_zero_and_that_of_the_same_does_not() -> None:
    raw, y = skewed(3000)
    better = apply(calibrate(*skewed(3000, seed=4), 0.7), raw)
    gain = brier_gain(better, raw, y, seed=1)
    assert 0 < gain.low < gain.mean < gain.high
    assert brier_gain(raw, raw, y, seed=1).low == 0
    assert brier_gain(better, raw, y, seed=1) == gain
