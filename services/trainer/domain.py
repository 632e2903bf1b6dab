"""The trainer's rules: which run a request is, what can be learned from, and when a model is promoted."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from shared.contracts.models import ModelKind
from shared.ids import derived_id

MIN_ROWS = 200
MIN_OF_A_CLASS = 20
# Two fits of the same changes differ by less, and may do so surely.
LEAST_LOG_LOSS_GAIN = 0.001

# Share of the work done when a stage begins.
STAGES = {"loading": 0.0, "fitting": 0.3, "calibrating": 0.75, "evaluating": 0.8, "registering": 0.95}


@dataclass(frozen=True)
class Run:
    """A request to train, as it was heard."""

    id: UUID
    kind: ModelKind
    requested_at: datetime
    requested_by: str | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Verdict:
    """`status` is that of the model when it is registered, before any promotion."""

    promote: bool
    reason: str
    status: Literal["candidate", "rejected"] = "candidate"


def run_id(stated: UUID | None, headers: Mapping[str, str] | None, stream: str, sequence: int) -> UUID:
    """The id of a requested run: stated, else the event's, else that of its place in the stream.

    The last is for a bare `{}` published by hand: it is the same at every redelivery.
    """
    if stated is not None:
        return stated
    for name in ("ce-id", "Nats-Msg-Id"):
        found = _uuid((headers or {}).get(name))
        if found is not None:
            return found
    return derived_id("training-run", stream, str(sequence))


def _uuid(text: str | None) -> UUID | None:
    try:
        return UUID(text) if text else None
    except ValueError:
        return None


def refusal(held: int, failed: int) -> str | None:
    """Why nothing can be learned from so many settled fixes; None when something can."""
    rows = held + failed
    if rows == 0:
        return "no fix with a usable outcome yet: import a history or report outcomes first"
    if min(held, failed) == 0:
        return f"all {rows} outcomes are {'held' if held else 'failures'}: there is nothing to tell apart"
    if rows < MIN_ROWS:
        return f"{rows} fixes with an outcome: at least {MIN_ROWS} are needed"
    if min(held, failed) < MIN_OF_A_CLASS:
        return f"{held} held and {failed} failed: at least {MIN_OF_A_CLASS} of each are needed"
    return None


def category_refusal(counts: Mapping[str, int]) -> str | None:
    """Why nothing can be learned from so many changes of each category; None when something can."""
    rows = sum(counts.values())
    if rows < MIN_ROWS:
        return f"{rows} changes with a declared or corrected category and a diff: at least {MIN_ROWS} are needed"
    second = sorted(counts.values())[-2]
    if second < MIN_OF_A_CLASS:
        return f"{second} changes of the second most frequent category: at least {MIN_OF_A_CLASS} are needed"
    return None


def decide_category(gain_low: float) -> Verdict:
    """A gain is the served model's log-loss less the new one's on the newest rows, with a 90 % interval."""
    if gain_low > LEAST_LOG_LOSS_GAIN:
        return Verdict(True, f"better than the champion: log-loss lower by at least {gain_low:.5f} (90 %)")
    reason = f"not surely better than the champion: the log-loss gain may be {gain_low:.5f} (90 %)"
    return Verdict(False, reason, "rejected")


def decide(brier: float, constant_brier: float, formula_gain_high: float, champion_gain_low: float | None) -> Verdict:
    """A gain is the other's Brier score less the new one's, with a 90 % interval.

    A champion must surely be beaten. Without one, what answers is the formula, and the answers are degraded: a model
    of the deployment's own then needs to beat the constant, and not to be surely worse than the formula.
    """
    if champion_gain_low is not None:
        if champion_gain_low > 0:
            return Verdict(
                True, f"better than the champion: Brier score lower by at least {champion_gain_low:.5f} (90 %)"
            )
        return Verdict(
            False,
            f"not surely better than the champion: the Brier gain may be {champion_gain_low:.5f} (90 %)",
            "rejected",
        )
    against = f"Brier score {brier:.5f}, the constant's {constant_brier:.5f}"
    if brier >= constant_brier:
        return Verdict(False, f"no better than a constant: {against}", "rejected")
    if formula_gain_high <= 0:
        return Verdict(False, f"surely worse than the formula, by at least {-formula_gain_high:.5f} (90 %)", "rejected")
    return Verdict(True, f"the first model: {against}, and not surely worse than the formula")


def final(verdict: Verdict, compared: str | None, champion: str | None) -> Verdict:
    """A victory counts only over the champion of the moment it is registered; else the model stays a candidate."""
    if not verdict.promote or compared == champion:
        return verdict
    return Verdict(False, f"the champion became {champion} while this was fitted: not compared with it")
