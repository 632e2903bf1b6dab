"""How long a materialized view is left alone between two refreshes."""

import pytest

from shared.refreshing import LEAST_PAUSE_SECONDS, SLACK_SECONDS, STALE_SECONDS, pause_seconds


@pytest.mark.parametrize("took", [0.0, 0.01, 0.2, 0.5, 1.0, 1.5])
def test_under_load_an_answer_is_at_most_five_seconds_old(took: float) -> None:
    # A change right after a snapshot waits for that refresh, the pause, and the refresh that sees it.
    assert took + pause_seconds(took) + took <= STALE_SECONDS - SLACK_SECONDS + 1e-9


@pytest.mark.parametrize("took", [0.001, 0.1, 0.35])
def test_a_refresh_takes_at_most_a_tenth_of_a_core(took: float) -> None:
    assert took / (took + pause_seconds(took)) <= 0.1 + 1e-9


def test_a_slow_refresh_still_leaves_a_pause() -> None:
    assert pause_seconds(60.0) == LEAST_PAUSE_SECONDS
