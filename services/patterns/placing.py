"""Where each fix of a group belongs among the stored ones and those of the group before it. Pure."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
import numpy as np

from services.patterns.clustering import ALIKE, Assignment, NearFix, NearPattern, assign, duplicate_of, label
from services.patterns.domain import Examination
from services.patterns.embedding import Embedding, similarities, similarity
from shared.ids import derived_id


class Neighbour(msgspec.Struct, frozen=True):
    """An earlier fix of the same repository; `embedding` only where it may begin a pattern: alike, and in none yet."""

    id: UUID
    similarity: float
    at: datetime
    pattern_id: UUID | None
    embedding: Embedding | None


class Arrival(msgspec.Struct, frozen=True):
    """A fix to place. Two fixes are duplicates, and begin a pattern, only within one repository."""

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
    place: Embedding
    members: tuple[UUID, ...]
    example_fix_id: UUID
    first_seen_at: datetime
    last_seen_at: datetime


def place(arrival: Arrival, patterns: Sequence[NearPattern], fixes: Collection[Neighbour]) -> Placing:
    """`patterns` and `fixes` are candidates in any order, without the arrival itself."""
    lone = [NearFix(f.id, f.similarity, f.at) for f in fixes if f.pattern_id is None]
    assignment = assign(patterns, lone, arrival.at)
    same = duplicate_of(NearFix(f.id, f.similarity, f.at) for f in fixes)
    pattern_id = derived_id("pattern", str(arrival.id)) if assignment.is_new else assignment.pattern_id
    return Placing(assignment, pattern_id, same)


def form(arrival: Arrival, placing: Placing, fixes: Collection[Neighbour]) -> Formed:
    """The new pattern that `placing` says the arrival completes."""
    members = [f for f in fixes if f.id in placing.assignment.members]
    places = [*(f.embedding for f in members if f.embedding), arrival.examined.embedding]
    seen = [*(f.at for f in members), arrival.at]
    category = arrival.examined.categorization.category
    return Formed(
        id=placing.pattern_id or arrival.id,
        label=label(category, [p.paths for p in places]),
        category=category,
        place=mean(places),
        members=(*(f.id for f in members), arrival.id),
        example_fix_id=arrival.id,
        first_seen_at=min(seen),
        last_seen_at=max(seen),
    )


def mean(places: Sequence[Embedding]) -> Embedding:
    """Both channels of unit length, or empty."""
    text: Any = np.sum([p.text for p in places], axis=0)
    return Embedding(text=text / (np.linalg.norm(text) or 1.0), paths=mean_paths([p.paths for p in places]))


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
    arrivals: Sequence[Arrival], patterns: Sequence[Sequence[NearPattern]], fixes: Sequence[Mapping[UUID, Neighbour]]
) -> tuple[list[Placing], list[Formed]]:
    """In order: each fix also meets the ones before it, and the patterns that those formed.

    A fix that a later one of the group makes a pattern with is placed in it too.
    """
    placed: list[Placing] = []
    formed: list[Formed] = []
    joined: dict[UUID, UUID] = {}
    for at, (arrival, earlier) in enumerate(zip(arrivals, alike_earlier(arrivals), strict=True)):
        here = arrival.examined.embedding
        known = [*patterns[at], *(NearPattern(f.id, similarity(here, f.place)) for f in formed)]
        around = [_known_now(fix, joined) for fix in ({f.id: f for f in earlier} | dict(fixes[at])).values()]
        placing = place(arrival, known, around)
        if placing.assignment.is_new:
            formed.append(form(arrival, placing, around))
            joined |= dict.fromkeys(formed[-1].members, formed[-1].id)
        elif placing.pattern_id:
            joined[arrival.id] = placing.pattern_id
        placed.append(placing)
    return [_adopted(p, joined.get(a.id)) for p, a in zip(placed, arrivals, strict=True)], formed


def alike_earlier(arrivals: Sequence[Arrival]) -> list[list[Neighbour]]:
    """For each the earlier ones of the group, of its repository, that are alike."""
    alike = similarities([a.examined.embedding for a in arrivals])
    found = []
    for at, arrival in enumerate(arrivals):
        near = [
            j for j in np.flatnonzero(alike[at, :at] >= ALIKE).tolist() if arrivals[j].repository == arrival.repository
        ]
        found.append([_neighbour(arrivals[j], float(alike[at, j])) for j in near])
    return found


def _neighbour(arrival: Arrival, similarity: float) -> Neighbour:
    return Neighbour(arrival.id, similarity, arrival.at, None, arrival.examined.embedding)


def _known_now(fix: Neighbour, joined: Mapping[UUID, UUID]) -> Neighbour:
    return msgspec.structs.replace(fix, pattern_id=joined[fix.id]) if fix.id in joined else fix


def _adopted(placing: Placing, pattern_id: UUID | None) -> Placing:
    return msgspec.structs.replace(placing, pattern_id=pattern_id) if pattern_id else placing
