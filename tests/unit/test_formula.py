"""Without a model, the formula gives a probability that moves the way histories say."""

from datetime import UTC, datetime, timedelta
from math import inf, nan

import pytest

from shared.features.change import CHANGE_FEATURES
from shared.features.formula import TERMS, effects, formula, log_odds
from shared.features.history import History, Past
from shared.features.vector import FEATURES, vector

NOW = datetime(2024, 6, 1, tzinfo=UTC)


def held(history: History | None = None, **change: float) -> float:
    values = dict.fromkeys(CHANGE_FEATURES, 0.0) | {"la": 20.0, "n_files": 1.0, "hunks": 1.0} | change
    return formula(vector(values, history, None, None, NOW))


def author(changes: int, failures: int) -> History:
    return History(
        author=Past(changes, failures, 5, NOW - timedelta(days=1), NOW - timedelta(days=90)),
        repository=Past(500, 70, 50, NOW - timedelta(days=1), NOW - timedelta(days=900)),
    )


def test_nothing_known_gives_about_the_base_rate() -> None:
    assert formula([nan] * len(FEATURES)) == pytest.approx(0.89, abs=0.03)


def test_a_bigger_change_holds_less_often() -> None:
    sizes = [held(la=la) for la in (1, 10, 100, 1000, 10_000)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] - sizes[-1] > 0.3


def test_an_author_whose_changes_failed_is_trusted_less() -> None:
    assert held(author(50, 1)) > held(author(50, 10)) > held(author(50, 40))


def test_one_lucky_change_says_little() -> None:
    assert abs(held(author(1, 0)) - held(author(0, 0))) < 0.02


@pytest.mark.parametrize("extreme", [0.0, 1e12, 1e308])
def test_the_answer_stays_a_probability(extreme: float) -> None:
    assert 0 < held(**dict.fromkeys(CHANGE_FEATURES, extreme)) < 1
    assert 0 < held(n_files=extreme) < 1


def test_every_term_alone_is_monotone_in_its_feature() -> None:
    for term in TERMS:
        answers = []
        for value in (0.01, 0.2, 0.9):
            features = [nan] * len(FEATURES)
            features[FEATURES.index(term.feature)] = value
            answers.append(formula(features))
        assert answers == sorted(answers, reverse=term.weight < 0)
        assert -inf < term.typical < inf


@pytest.mark.parametrize(("added_lines", "limited"), [(7.0, False), (1e12, True)])
def test_the_effects_add_up_to_the_answer_at_its_limit_too(added_lines: float, limited: bool) -> None:
    change = dict.fromkeys(CHANGE_FEATURES, 7.0) | {"la": added_lines}
    known = vector(change, author(9, 2), None, None, NOW)
    base, parts = effects(known)
    assert (log_odds(known) == -6.0) is limited
    assert base + sum(parts.values()) == pytest.approx(log_odds(known))


def test_nothing_known_has_no_effects() -> None:
    assert effects([nan] * len(FEATURES))[1] == {}
