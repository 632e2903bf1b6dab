"""What lies near a change, where the indexes alone would not find it."""

from datetime import UTC, datetime
from uuid import uuid4

import numpy as np

from services.patterns.embedding import DIMENSIONS, Embedding
from services.patterns.queries import NEAREST_PATTERNS, Wanted, near
from services.patterns.vectors import half, sparse, speak_vectors
from tests.world import World

AT = datetime(2026, 3, 1, tzinfo=UTC)
PLACE = 7
INSERT = """
with p as (
  insert into patterns.patterns (id, label, category, support, example_fix_id, first_seen_at, last_seen_at)
  values (gen_random_uuid(), 'bug-fix', 'bug-fix', 3, gen_random_uuid(), now(), now()) returning id
)
insert into patterns.pattern_places (pattern_id, words, paths) select id, $1, $2 from p returning pattern_id
"""
FIX = """
insert into patterns.fix_patterns (fix_id, agent_id, repository, submitted_at, category, category_confidence,
  categories, place, pattern_id)
values (gen_random_uuid(), 'claude', $1, $2, 'bug-fix', 0.9, '{}', $3, $4)
"""


def lying(words: float, paths: float) -> Embedding:
    """At these cosines from the change that is asked about."""
    text = np.zeros(DIMENSIONS, np.float32)
    text[:2] = words, np.sqrt(1 - words**2)
    terms = {"src/auth.py": paths, uuid4().hex: float(np.sqrt(1 - paths**2))}
    return Embedding(text=text, paths={term: weight for term, weight in terms.items() if weight}, place=PLACE)


async def test_a_pattern_of_the_very_same_files_is_among_those_compared(world: World) -> None:
    """Twenty others are nearer in each channel, and none in both."""
    connection = world.owner
    await speak_vectors(connection)

    async def pattern(words: float, paths: float) -> object:
        place = lying(words, paths)
        return await connection.fetchval(INSERT, half(place.text), sparse(place.paths))

    for _ in range(2 * NEAREST_PATTERNS):
        await pattern(0.95, 0.0)
        await pattern(0.0, 0.5)
    same = await pattern(0.9, 0.49)
    asked = Wanted(lying(1.0, 1.0), AT, "acme/shop")
    [found] = await near(connection, [asked])
    assert [p.pattern_id for p in found.patterns] != [same]
    await connection.execute(FIX, "acme/shop", AT, PLACE, same)
    [found] = await near(connection, [asked])
    assert [p.pattern_id for p in found.patterns] == [same]
