"""Where each fix of a group belongs among the stored ones and those of the group before it. Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
import numpy as np

from services.patterns.clustering import Assignment, NearFix, NearPattern, assign, duplicate_of, label
from services.patterns.domain import Examination
from services.patterns.embedding import Embedding, similarity
from shared.ids import derived_id


class Known(msgspec.Struct, frozen=True):
    """A stored pattern or fix with its place; `pattern_id` is its own for a pattern, and null for a lone fix."""

    id: UUID
    embedding: Embedding
    at: datetime | None = None
    repository: str | None = None
    pattern_id: UUID | None = None


class Arrival(msgspec.Struct, frozen=True):
    """A fix to place. Two fixes are duplicates only within one repository."""

    id: UUID
    repository: str
    at: datetime
    examined: Examination


class Placing(msgspec.Struct, frozen=True):
    assignment: Assignment
    pattern_id: UUID | None
    duplicate_of: UUID | None


class Formed(msgspec.Struct, frozen=True):
    """A pattern that a group brought to light, with all its members and the mean of their places."""

    id: UUID
    label: str
    category: str
    centroid: Any
    path_terms: Mapping[str, float]
    members: tuple[UUID, ...]
    example_fix_id: UUID
    first_seen_at: datetime
    last_seen_at: datetime


def place(arrival: Arrival, patterns: Sequence[Known], fixes: Sequence[Known]) -> Placing:
    """`patterns` and `fixes` are candidates in any order, without the arrival itself."""
    here = arrival.examined.embedding
    known = [NearPattern(p.id, similarity(here, p.embedding)) for p in patterns]
    near = [(f, NearFix(f.id, similarity(here, f.embedding), f.at or arrival.at)) for f in fixes]
    assignment = assign(known, [n for f, n in near if f.pattern_id is None], arrival.at)
    same = duplicate_of(n for f, n in near if f.repository == arrival.repository)
    pattern_id = derived_id("pattern", str(arrival.id)) if assignment.is_new else assignment.pattern_id
    return Placing(assignment, pattern_id, same)


def form(arrival: Arrival, placing: Placing, fixes: Sequence[Known]) -> Formed:
    """The new pattern that `placing` says the arrival completes."""
    members = [f for f in fixes if f.id in placing.assignment.members]
    places = [*(f.embedding for f in members), arrival.examined.embedding]
    seen = [*(f.at or arrival.at for f in members), arrival.at]
    category = arrival.examined.categorization.category
    return Formed(
        id=placing.pattern_id or arrival.id,
        label=label(category, [p.paths for p in places]),
        category=category,
        centroid=np.mean([p.text for p in places], axis=0),
        path_terms=mean_paths([p.paths for p in places]),
        members=(*(f.id for f in members), arrival.id),
        example_fix_id=arrival.id,
        first_seen_at=min(seen),
        last_seen_at=max(seen),
    )


def mean_paths(paths: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Of unit length, or empty; only what at least half of the members share, so that one odd path does not stick."""
    totals: dict[str, float] = {}
    for terms in paths:
        for term, weight in terms.items():
            totals[term] = totals.get(term, 0.0) + weight
    shared = {t: w for t, w in totals.items() if 2 * sum(t in terms for terms in paths) >= len(paths)}
    length = float(np.linalg.norm(list(shared.values()))) if shared else 0.0
    return {t: w / length for t, w in shared.items()} if length else {}


def place_group(
    arrivals: Sequence[Arrival], patterns: Sequence[Sequence[Known]], fixes: Sequence[Sequence[Known]]
) -> tuple[list[Placing], list[Formed]]:
    """In order: each fix also meets the ones before it, and the patterns that those formed."""
    placed: list[Placing] = []
    formed: list[Formed] = []
    earlier: list[Known] = []
    for arrival, its_patterns, its_fixes in zip(arrivals, patterns, fixes, strict=True):
        new = [Known(f.id, Embedding(f.centroid, dict(f.path_terms)), pattern_id=f.id) for f in formed]
        adopted = {member: f.id for f in formed for member in f.members}
        around = [
            msgspec.structs.replace(f, pattern_id=f.pattern_id or adopted.get(f.id)) for f in (*its_fixes, *earlier)
        ]
        placing = place(arrival, [*its_patterns, *new], around)
        if placing.assignment.is_new:
            formed.append(form(arrival, placing, around))
        placed.append(placing)
        earlier.append(
            Known(arrival.id, arrival.examined.embedding, arrival.at, arrival.repository, placing.pattern_id)
        )
    return placed, formed
