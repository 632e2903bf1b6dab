"""Fixes of one group meet each other as they would have met in the store."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import numpy as np
import pytest

from services.patterns.clustering import ALIKE
from services.patterns.domain import examine
from services.patterns.embedding import similarities, similarity
from services.patterns.placing import Arrival, Neighbour, place_group
from services.patterns.vectors import PATH_BUCKETS, from_half, half, sparse
from shared.diffs import Diff, FileChange
from tests.categories import shipped_categories

CATEGORIES = shipped_categories()

NOW = datetime(2026, 3, 1, tzinfo=UTC)
SESSION = "src/auth/session.py"


def arrival(
    number: int, path: str = SESSION, repository: str = "acme/shop", line: str = "return user.token"
) -> Arrival:
    change = FileChange(path, None, "M", (line, f"attempt({number})"), (), 1, False)
    return Arrival(
        UUID(int=number),
        repository,
        NOW + timedelta(minutes=number),
        examine(Diff((change,)), None, CATEGORIES),
    )


def alone(*arrivals: Arrival) -> tuple[list[UUID | None], list[tuple[UUID, ...]]]:
    """Beside an empty store: the pattern of each, and the members of what was formed."""
    placed, formed = place_group(arrivals, [[] for _ in arrivals], [{} for _ in arrivals])
    return [p.pattern_id for p in placed], [f.members for f in formed]


def test_alike_fixes_of_one_group_form_a_pattern_and_all_of_them_are_in_it() -> None:
    group = [arrival(n) for n in (1, 2, 3, 4)]
    [*patterns], [members] = alone(*group)
    assert len(set(patterns)) == 1
    assert patterns[0] is not None
    assert members == tuple(a.id for a in group[:3])


def test_fixes_of_another_repository_do_not_count() -> None:
    patterns, formed = alone(arrival(1), arrival(2, repository="acme/other"), arrival(3))
    assert (patterns, formed) == ([None] * 3, [])


def test_fixes_of_other_places_do_not_count() -> None:
    patterns, formed = alone(arrival(1), arrival(2, path="docs/guide/intro.md", line="Welcome"), arrival(3))
    assert (patterns, formed) == ([None] * 3, [])


def test_a_stored_fix_and_those_of_the_group_form_one_together() -> None:
    stored = arrival(1)
    here = [arrival(2), arrival(3)]
    near = Neighbour(stored.id, 0.9, stored.at, None, stored.examined.embedding)
    placed, [formed] = place_group(here, [[], []], [{near.id: near}, {near.id: near}])
    assert set(formed.members) == {UUID(int=1), UUID(int=2), UUID(int=3)}
    assert [p.pattern_id for p in placed] == [formed.id] * 2
    assert np.linalg.norm(formed.place.text) == pytest.approx(1.0, abs=1e-5)


def test_the_same_change_again_is_a_duplicate_of_the_first() -> None:
    same = [arrival(n, line="x") for n in (1, 2)]
    again = [Arrival(a.id, a.repository, a.at, same[0].examined) for a in same]
    placed, _ = place_group(again, [[], []], [{}, {}])
    assert [p.duplicate_of for p in placed] == [None, UUID(int=1)]


def test_of_a_group_that_is_known_already_nothing_is_compared() -> None:
    assert similarities([]).shape == (0, 0)


def test_similarities_of_many_are_those_of_each_two() -> None:
    places = [arrival(1).examined.embedding, arrival(2, path="src/auth/menu.py").examined.embedding]
    places += [
        arrival(3, path="x.md", line="Welcome").examined.embedding,
        examine(Diff(()), "sessions", CATEGORIES).embedding,
    ]
    found = similarities(places)
    for i, one in enumerate(places):
        for j, other in enumerate(places):
            assert found[i, j] == pytest.approx(similarity(one, other), abs=1e-5)
    assert found[0, 1] > found[0, 2]
    assert found[0, 0] >= ALIKE


def test_vectors_are_written_as_postgres_reads_them() -> None:
    words = np.linspace(-1, 1, 256, dtype=np.float32)
    assert from_half(half(words)) == pytest.approx(words, abs=1e-3)
    data = sparse({"src": 0.6, "src/a.py": 0.8})
    assert data is not None
    numbers = np.frombuffer(data[:20], ">i4")
    assert numbers[:3].tolist() == [PATH_BUCKETS, 2, 0]
    assert 0 <= numbers[3] < numbers[4] < PATH_BUCKETS
    assert sparse({}) is None
