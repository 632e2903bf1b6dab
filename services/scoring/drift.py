"""When to train anew: scores have moved away from what they were, or there is much to learn. Pure."""

from bisect import bisect_right
from collections.abc import Sequence
from datetime import datetime, timedelta
from math import log

import msgspec

from shared.contracts.models import ModelKind

# Scores at each end that are compared. Fewer, and chance alone moves them.
WINDOW = 1000
BINS = 10
# Population stability index: the customary limit from which a shift is called major.
SHIFTED = 0.25
# So many outcomes are news: a tenth of what the champion learned from, and never fewer than a run needs.
NEW_SHARE = 0.1
MIN_NEW = 200
# What is new may ask for a model of confidence every hour, and of categories, which change little, every day; a drift
# that training did not mend asks once a day, and only with something new.
OUTCOMES_PAUSE, TOLD_PAUSE = timedelta(hours=1), timedelta(days=1)
DRIFT_PAUSE = timedelta(days=1)
NEWS: dict[ModelKind, tuple[timedelta, str]] = {
    "confidence": (OUTCOMES_PAUSE, "outcomes"),
    "category": (TOLD_PAUSE, "changes whose category was told"),
}


class Situation(msgspec.Struct, frozen=True, kw_only=True):
    """`learned` are the champion's rows, `new` the outcomes, or the changes whose category was told, since the last run
    began; `importing`: more arrive now.
    """

    kind: ModelKind = "confidence"
    now: datetime
    last_run_at: datetime | None
    learned: int
    new: int
    importing: bool
    shift: float | None = None


def shift(before: Sequence[float], after: Sequence[float]) -> float | None:
    """Population stability index of `after` over the deciles of `before`; None while either is too short to tell."""
    if min(len(before), len(after)) < WINDOW:
        return None
    ordered = sorted(before)
    edges = sorted({ordered[len(ordered) * i // BINS] for i in range(1, BINS)})
    was, is_now = (_shares(scores, edges) for scores in (before, after))
    return sum((b - a) * log(b / a) for a, b in zip(was, is_now, strict=True))


def _shares(scores: Sequence[float], edges: Sequence[float]) -> list[float]:
    """One more in each bin, so that none is empty."""
    counts = [1] * (len(edges) + 1)
    for score in scores:
        counts[bisect_right(edges, score)] += 1
    return [count / sum(counts) for count in counts]


def enough(learned: int) -> int:
    return max(MIN_NEW, int(NEW_SHARE * learned))


def reason(found: Situation) -> str | None:
    """Why a run should be asked for now, or None. An import is waited for: what it brings is learned from whole."""
    idle = timedelta.max if found.last_run_at is None else found.now - found.last_run_at
    if found.importing or not found.new:
        return None
    pause, what = NEWS[found.kind]
    if found.new >= enough(found.learned) and idle >= pause:
        return f"{found.new} {what} since the last run"
    if found.shift is not None and found.shift > SHIFTED and idle >= DRIFT_PAUSE:
        return f"scores have drifted: population stability index {found.shift:.2f}"
    return None
