"""What a change knows of the earlier ones of its own group."""

from datetime import UTC, datetime, timedelta

from services.scoring.history import Event, histories
from shared.features.history import Key, Past, keys_of

START = datetime(2026, 1, 1, tzinfo=UTC)
KEYS = keys_of("acme/shop", "ann", "claude", ("src/auth.py",))


def change(day: int, *, failed_on: int | None = None, mends: bool = False, expected: float = 0.25) -> Event:
    failed_at = None if failed_on is None else START + timedelta(days=failed_on)
    return Event(KEYS, START + timedelta(days=day), failed_at, mends, expected)


def author(*changes: Event, stored: Past | None = None) -> Past:
    """The author's past as the last of `changes` knows it."""
    past = {} if stored is None else {Key("acme/shop", "author", "ann"): stored}
    return histories(changes, [past] * len(changes))[-1].author


def test_the_first_of_a_group_knows_what_is_stored_and_no_more() -> None:
    stored = Past(changes=7, last_at=START - timedelta(days=1), expected=1.5)
    assert author(change(0), stored=stored) == stored
    assert author(change(0)) == Past()


def test_a_failure_counts_from_the_day_on_which_it_was_seen() -> None:
    first = change(0, failed_on=10)
    assert author(first, change(9)).failures == 0
    known = author(first, change(10))
    assert (known.failures, known.failures_90d, known.last_failure_at) == (1, 1, START + timedelta(days=10))
    late = author(first, change(100))
    assert (late.failures, late.failures_90d, late.last_failure_at) == (1, 0, START + timedelta(days=10))


def test_what_is_older_than_90_days_counts_as_past_but_not_as_recent() -> None:
    known = author(change(0, mends=True), change(50), change(60, mends=True), change(100))
    assert (known.changes, known.changes_90d, known.fixes, known.fixes_90d) == (3, 2, 2, 1)
    assert (known.expected, known.expected_90d) == (0.75, 0.5)
    assert (known.first_at, known.last_at) == (START, START + timedelta(days=60))
    assert known.last_fix_at == START + timedelta(days=60)


def test_what_is_stored_and_the_group_add_up() -> None:
    stored = Past(changes=2, failures=1, last_at=START, first_at=START - timedelta(days=9), last_failure_at=START)
    known = author(change(1, failed_on=2), change(3), stored=stored)
    assert (known.changes, known.failures, known.first_at) == (3, 2, START - timedelta(days=9))
    assert known.last_failure_at == START + timedelta(days=2)
