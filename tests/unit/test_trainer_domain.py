from uuid import UUID

import pytest

from services.trainer.domain import Verdict, decide, final, refusal, run_id

A = UUID("019a0000-0000-7000-8000-000000000001")
B = UUID("019a0000-0000-7000-8000-000000000002")


def test_the_stated_run_id_wins_over_the_headers() -> None:
    assert run_id(A, {"ce-id": str(B)}, "MODELS", 1) == A


def test_the_event_id_names_the_run() -> None:
    assert run_id(None, {"ce-id": str(A), "Nats-Msg-Id": str(B)}, "MODELS", 1) == A
    assert run_id(None, {"Nats-Msg-Id": str(B)}, "MODELS", 1) == B


@pytest.mark.parametrize("headers", [None, {}, {"ce-id": "nightly", "Nats-Msg-Id": "nightly-7"}])
def test_a_bare_request_is_the_same_run_at_every_redelivery(headers: dict[str, str] | None) -> None:
    assert run_id(None, headers, "MODELS", 7) == run_id(None, headers, "MODELS", 7)
    assert run_id(None, headers, "MODELS", 7) != run_id(None, headers, "MODELS", 8)


@pytest.mark.parametrize(
    ("held", "failed", "says"),
    [
        (0, 0, "no fix"),
        (500, 0, "all 500 outcomes are held"),
        (0, 500, "all 500 outcomes are failures"),
        (150, 49, "199 fixes"),
        (500, 19, "19 failed"),
    ],
)
def test_what_cannot_be_learned_from_is_refused_with_its_reason(held: int, failed: int, says: str) -> None:
    assert says in (refusal(held, failed) or "")


def test_enough_of_both_outcomes_is_accepted() -> None:
    assert refusal(180, 20) is None


@pytest.mark.parametrize(
    ("brier", "constant", "formula_gain_high", "champion_gain_low", "promoted", "says"),
    [
        # A champion must surely be beaten, whatever the constant and the formula would have done.
        (0.10, 0.12, 0.01, 0.001, True, "better than the champion"),
        (0.12, 0.10, -0.01, 0.001, True, "better than the champion"),
        (0.10, 0.12, 0.01, 0.0, False, "not surely better than the champion"),
        (0.10, 0.12, 0.01, -0.001, False, "not surely better than the champion"),
        # Without one: better than the constant, and not surely worse than the formula.
        (0.10, 0.12, 0.001, None, True, "the first model"),
        (0.12, 0.12, 0.001, None, False, "no better than a constant"),
        (0.13, 0.12, -0.001, None, False, "no better than a constant"),
        (0.10, 0.12, 0.0, None, False, "surely worse than the formula"),
        (0.10, 0.12, -0.001, None, False, "surely worse than the formula, by at least 0.00100"),
    ],
)
def test_only_what_answers_better_than_what_answers_now_is_promoted(
    brier: float, constant: float, formula_gain_high: float, champion_gain_low: float | None, promoted: bool, says: str
) -> None:
    verdict = decide(brier, constant, formula_gain_high, champion_gain_low)
    assert verdict.promote is promoted
    assert verdict.status == ("candidate" if promoted else "rejected")
    assert verdict.reason.startswith(says)


def test_a_victory_over_yesterdays_champion_promotes_nothing() -> None:
    won = Verdict(True, "better")
    assert final(won, "confidence-1", "confidence-1").promote
    late = final(won, "confidence-1", "confidence-2")
    assert (late.promote, late.status) == (False, "candidate")
    assert "confidence-2" in late.reason
