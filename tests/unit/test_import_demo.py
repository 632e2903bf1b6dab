"""What the demo plays, and what the commands print, from answers as the API gives them."""

from datetime import UTC, datetime, timedelta
from typing import Any

from cli.bodies import BulkLine
from cli.demo import answer_lines
from cli.demo_fleet import LARGEST_DIFF_BYTES, Played, chosen
from cli.score import described
from cli.train import model_lines
from shared.contracts.fixes import Outcome, OutcomeKind

START = datetime(2026, 1, 1, tzinfo=UTC)
SCORED = {"confidence": 0.75, "source": "formula", "model_version": None, "decision": "review", "category": "bug-fix"}


def change(day: int, kind: OutcomeKind | None, size: int = 100) -> BulkLine:
    at = START + timedelta(days=day)
    outcome = Outcome(kind=kind, observed_at=at) if kind else None
    name = str(day)
    return BulkLine(
        agent_id="human", repository="a", external_id=name, submitted_at=at, diff="x" * size, outcome=outcome
    )


def names(changes: list[BulkLine]) -> list[str]:
    return [fix.external_id for fix in changes]


def test_the_played_changes_are_the_newest_failed_and_held_ones() -> None:
    history = [change(day, "reverted" if day % 5 == 0 else "held") for day in range(20)]
    assert names(chosen(history, 4)) == ["10", "15", "18", "19"]


def test_a_young_history_is_played_without_outcomes_and_long_diffs_not_at_all() -> None:
    history = [change(1, None), change(2, None, LARGEST_DIFF_BYTES + 1), change(3, None)]
    assert names(chosen(history, 6)) == ["1", "3"]
    assert names(chosen(history, 1)) == ["3"]


def test_an_answer_names_its_source_and_invents_nothing() -> None:
    fix: dict[str, Any] = {"id": "1", "status": "scored", **SCORED, "category": None}
    assert list(answer_lines(Played("atlas", change(0, None), fix))) == [
        "atlas: 75.0% by the formula → review; not categorized yet"
    ]
    assert list(answer_lines(Played("atlas", change(0, None), {"id": "1", "status": "accepted"}))) == [
        "atlas: accepted, no number yet"
    ]


def test_a_score_without_a_model_says_so_and_shows_the_weightiest_contributions() -> None:
    contributions = [{"feature": f"f{n}", "value": n or None, "effect": n / 10} for n in range(12)]
    told = described({**SCORED, "evidence": 3, "low_evidence": True, "base_value": 1.5, "contributions": contributions})
    assert told[0] == "75.0% likely to hold for 30 days, says formula; decision: review"
    assert "no trained model" in told[1]
    assert "3 earlier changes" in told[2]
    assert told[5:7] == ["  +1.100  f11 = 11", "  +1.000  f10 = 10"]
    assert len(told) == 15


def test_a_model_is_shown_beside_its_base_rate() -> None:
    model = {"version": "confidence-1", "status": "champion", "rows": 7000, "base_rate": 0.86, "metrics": {"auc": 0.8}}
    assert model_lines(model) == [
        "confidence-1 is champion: 7,000 rows, base rate 0.860",
        "           auc 0.800  (0.5 is chance)",
    ]
