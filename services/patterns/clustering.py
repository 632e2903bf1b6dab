"""Which pattern a new fix belongs to, and when a few alike fixes become a new one. Decides; stores nothing."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import msgspec

# Fused similarities (`embedding.similarity`), chosen by measurement: docs/related-changes.md.
JOINS = 0.40
ALIKE = 0.40
DUPLICATE = 0.985
# A pattern is something that happened at least this often, the new fix included.
MINIMUM_SUPPORT = 3
# Older lone fixes are history, not a pattern in the making; nor is an older one repeated, unless it is still open.
RECENT = timedelta(days=30)
LABEL_TERMS = 3


class NearPattern(NamedTuple):
    pattern_id: UUID
    similarity: float


class NearFix(NamedTuple):
    fix_id: UUID
    similarity: float
    at: datetime


class Assignment(msgspec.Struct, frozen=True):
    """`pattern_id` None and `is_new`: `members`, the new fix not among them, become a new pattern with it.

    `pattern_id` None and not `is_new`: the fix stays alone for now. `novelty` is 1 - the similarity to the nearest
    known pattern, None when there is none to compare with.
    """

    pattern_id: UUID | None
    is_new: bool
    novelty: float | None
    members: tuple[UUID, ...]


def assign(patterns: Sequence[NearPattern], unassigned: Sequence[NearFix], now: datetime) -> Assignment:
    nearest = max(patterns, key=lambda near: near.similarity, default=None)
    novelty = None if nearest is None else 1.0 - nearest.similarity
    if nearest and nearest.similarity >= JOINS:
        return Assignment(nearest.pattern_id, False, novelty, ())
    alike = [near.fix_id for near in _nearest_first(unassigned) if near.similarity >= ALIKE and now - near.at <= RECENT]
    if len(alike) + 1 >= MINIMUM_SUPPORT:
        return Assignment(None, True, novelty, tuple(alike))
    return Assignment(None, False, novelty, ())


def duplicate_of(candidates: Iterable[NearFix]) -> UUID | None:
    """The earliest of the fixes that are all but the same change."""
    same = [near for near in candidates if near.similarity >= DUPLICATE]
    return min(same, key=lambda near: near.at).fix_id if same else None


def label(category: str, members: Sequence[Mapping[str, float]]) -> str:
    """Readable, of the members' own path terms: the terms most members share, the weightiest first.

    `bug-fix in src/server/auth.py, middleware`; the category alone when they share nothing.
    """
    support = Counter(term for terms in members for term in terms)
    weight = {term: sum(terms.get(term, 0.0) for terms in members) for term in support}
    shared = [term for term, n in support.items() if 2 * n > len(members)]
    ranked = sorted(shared, key=lambda term: (-weight[term], term))
    named: list[str] = []
    for term in ranked:
        if not _said(term, named) and len(named) < LABEL_TERMS:
            named.append(term.removeprefix("*"))
    return f"{category} in {', '.join(named)}" if named else category


def _said(term: str, named: Iterable[str]) -> bool:
    """A directory above a named file, or the stem of its name, adds nothing."""
    bare = term.removeprefix("*")
    return any(name.startswith((f"{bare}/", bare)) or bare in name.rpartition("/")[2] for name in named)


def _nearest_first(fixes: Iterable[NearFix]) -> list[NearFix]:
    return sorted(fixes, key=lambda near: (-near.similarity, near.at))
