"""When scoring asks for a new model, and when it keeps still."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.scoring.drift import (
    DRIFT_PAUSE,
    MIN_NEW,
    OUTCOMES_PAUSE,
    SHIFTED,
    TOLD_PAUSE,
    WINDOW,
    Situation,
    reason,
    shift,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def situation(**changes: Any) -> Situation:
    plain: dict[str, Any] = {
        "now": NOW,
        "last_run_at": NOW - timedelta(days=7),
        "learned": 1000,
        "new": 50,
        "importing": False,
        "shift": 0.01,
    }
    return Situation(**plain | changes)


def scores(mean: float, seed: int, count: int = WINDOW) -> list[float]:
    chance = random.Random(seed)
    return [min(1.0, max(0.0, chance.gauss(mean, 0.1))) for _ in range(count)]


def test_scores_of_the_same_kind_have_not_shifted() -> None:
    found = shift(scores(0.8, 1), scores(0.8, 2))
    assert found is not None
    assert found < 0.1


def test_scores_of_another_kind_have() -> None:
    found = shift(scores(0.8, 1), scores(0.7, 2))
    assert found is not None
    assert found > SHIFTED


def test_one_and_the_same_answer_for_all_is_no_shift_and_another_is() -> None:
    assert shift([0.8] * WINDOW, [0.8] * WINDOW) == pytest.approx(0)
    found = shift([0.8] * WINDOW, [0.2] * WINDOW)
    assert found is not None
    assert found > SHIFTED


def test_too_few_scores_tell_nothing() -> None:
    assert shift(scores(0.8, 1, WINDOW - 1), scores(0.5, 2)) is None


@pytest.mark.parametrize(
    ("changes", "asks"),
    [
        ({}, None),
        ({"new": MIN_NEW}, "outcomes"),
        ({"new": MIN_NEW - 1}, None),
        ({"new": MIN_NEW, "learned": 10_000}, None),
        ({"new": 1000, "learned": 10_000}, "outcomes"),
        ({"new": MIN_NEW, "last_run_at": None, "learned": 0}, "outcomes"),
        ({"new": MIN_NEW, "last_run_at": NOW - OUTCOMES_PAUSE + timedelta(seconds=1)}, None),
        ({"new": MIN_NEW, "importing": True}, None),
        ({"shift": 0.5}, "drifted"),
        ({"shift": 0.5, "new": 0}, None),
        ({"shift": 0.5, "last_run_at": NOW - DRIFT_PAUSE + timedelta(seconds=1)}, None),
        ({"shift": 0.5, "importing": True}, None),
        ({"shift": None}, None),
        ({"kind": "category", "new": MIN_NEW}, "told"),
        ({"kind": "category", "new": MIN_NEW - 1}, None),
        ({"kind": "category", "new": MIN_NEW, "last_run_at": NOW - TOLD_PAUSE + timedelta(seconds=1)}, None),
    ],
)
def test_a_run_is_asked_for_when_there_is_reason_to_and_time_since_the_last(
    changes: dict[str, Any], asks: str | None
) -> None:
    found = reason(situation(**changes))
    assert (found is None) if asks is None else (found is not None and asks in found)
