"""A labelled history is gone through in time order: nothing is known before it happened."""

from datetime import UTC, datetime, timedelta

from services.trainer.replay import Ledger
from shared.features.history import Key

START = datetime(2024, 1, 1, 12, tzinfo=UTC)
KEY = Key("r", "author", "jane")


def day(number: float) -> datetime:
    return START + timedelta(days=number)


def told(*changes: tuple[float, float | None]) -> Ledger:
    """Of changes (day, day on which it was known to have failed)."""
    ledger = Ledger()
    for at, failed in changes:
        ledger.pasts([KEY], day(at))
        ledger.changed([KEY], day(at), mends=at == 0, expected=0.25, failed_at=None if failed is None else day(failed))
    return ledger


def test_a_failure_counts_from_the_day_it_was_known() -> None:
    ledger = told((0, 10), (1, None))
    assert ledger.pasts([KEY], day(9.9))[KEY].failures == 0
    known = ledger.pasts([KEY], day(10))[KEY]
    assert (known.changes, known.failures, known.expected, known.last_failure_at) == (2, 1, 0.5, day(10))


def test_the_last_ninety_days_are_counted_apart() -> None:
    ledger = told((0, 1), (50, None), (60, 61))
    past = ledger.pasts([KEY], day(100))[KEY]
    assert (past.changes, past.changes_90d, past.fixes, past.fixes_90d) == (3, 2, 1, 0)
    assert (past.failures, past.failures_90d, past.expected_90d) == (2, 1, 0.5)


def test_who_never_did_anything_has_no_past() -> None:
    assert told((0, None)).pasts([Key("r", "author", "joe")], day(1)) == {}
