from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from services.patterns.clustering import (
    ALIKE,
    DUPLICATE,
    JOINS,
    RECENT,
    NearFix,
    NearPattern,
    assign,
    duplicate_of,
    label,
)
from services.patterns.ranking import Candidate, rank_related

NOW = datetime(2026, 3, 1, tzinfo=UTC)
FAR = 0.1


def uuid(n: int) -> UUID:
    return UUID(int=n)


def near(n: int, similarity: float, days: float = 1.0) -> NearFix:
    return NearFix(uuid(n), similarity, NOW - timedelta(days=days))


def test_a_fix_joins_the_nearest_pattern_and_tells_how_far_it_is():
    found = assign([NearPattern(uuid(1), JOINS), NearPattern(uuid(2), 0.8)], [near(9, 0.9), near(8, 0.9)], NOW)

    assert (found.pattern_id, found.is_new, found.members) == (uuid(2), False, ())
    assert found.novelty == pytest.approx(0.2)


def test_two_recent_fixes_like_it_become_a_new_pattern_with_it():
    found = assign([NearPattern(uuid(1), FAR)], [near(7, ALIKE), near(8, 0.9), near(9, FAR)], NOW)

    assert (found.pattern_id, found.is_new, found.members) == (None, True, (uuid(8), uuid(7)))
    assert found.novelty == pytest.approx(0.9)


def test_one_fix_like_it_is_too_little_support():
    found = assign([], [near(7, 0.9), near(8, FAR)], NOW)

    assert (found.pattern_id, found.is_new, found.members, found.novelty) == (None, False, (), None)


def test_old_fixes_do_not_support_a_new_pattern():
    old = RECENT.days + 1

    assert not assign([], [near(7, 0.9, old), near(8, 0.9, old)], NOW).is_new


def test_a_duplicate_is_the_earliest_of_the_same_changes():
    assert duplicate_of([near(1, 1.0, 2), near(2, DUPLICATE, 5), near(3, 0.9, 9)]) == uuid(2)
    assert duplicate_of([near(3, 0.9)]) is None


def test_a_label_names_what_the_members_share_once():
    members = [
        {"src": 0.1, "src/auth": 0.3, "src/auth/session.ts": 0.9, "*session": 0.3},
        {"src": 0.1, "src/auth": 0.3, "src/auth/session.ts": 0.9, "*session": 0.3},
        {"src": 0.1, "src/menu.ts": 0.9, "*menu": 0.3},
    ]

    assert label("bug-fix", members) == "bug-fix in src/auth/session.ts"


def test_a_label_of_members_that_share_no_path_is_their_category():
    assert label("security", [{"a": 1.0}, {"b": 1.0}, {"c": 1.0}]) == "security"


def learning(n: int, **changed) -> Candidate:
    plain = {
        "title": f"learning {n}", "similarity": 0.5, "category": None, "agent_domains": (), "uses": 0, "successes": 0,
        "created_at": NOW - timedelta(days=1),
    }  # fmt: skip
    return Candidate(learning_id=uuid(n), **plain | changed)


def shown(*candidates: Candidate, domains=()) -> list[int]:
    return [each.learning_id.int for each in rank_related(candidates, NOW, category="bug-fix", domains=domains)]


def test_at_most_three_learnings_are_shown_nearest_first():
    assert shown(*(learning(n, similarity=n / 10) for n in range(3, 8))) == [7, 6, 5]


def test_a_learning_that_is_not_near_is_not_shown_however_well_it_fared():
    assert shown(learning(1, similarity=0.05, uses=50, successes=50, category="bug-fix")) == []


def test_the_same_category_and_a_shared_domain_raise_a_learning():
    assert shown(learning(1, similarity=0.52), learning(2, category="bug-fix")) == [2, 1]
    assert shown(learning(1, similarity=0.52), learning(2, agent_domains=("auth",)), domains=["auth"]) == [2, 1]


def test_a_learning_that_was_followed_in_vain_sinks_and_one_success_does_not_outweigh_a_record():
    assert shown(learning(1, uses=10), learning(2), learning(3, uses=10, successes=10)) == [3, 2, 1]
    assert shown(learning(1, uses=1, successes=1), learning(2, uses=20, successes=19)) == [2, 1]


def test_an_unconfirmed_learning_fades_with_age_and_a_confirmed_one_does_not():
    year_ago = NOW - timedelta(days=365)

    assert shown(learning(1, created_at=year_ago), learning(2, similarity=0.4)) == [2, 1]
    assert shown(learning(1, created_at=year_ago, uses=2, successes=1), learning(2, similarity=0.4)) == [1, 2]


def test_the_similarity_shown_is_the_bare_one():
    [related] = rank_related([learning(1, category="bug-fix")], NOW, category="bug-fix")

    assert related.similarity == 0.5
