"""Which learnings are shown with a fix: few and ranked, for one good item helps more than four."""

from collections.abc import Collection, Iterable
from datetime import datetime
from uuid import UUID

import msgspec

from shared.contracts.fixes import Category, Related

SHOWN = 3
# Nine of ten pairs of changes from two different repositories are less alike in their words (docs/related-changes.md).
LEAST_SIMILARITY = 0.20
SAME_CATEGORY = 0.10
SAME_DOMAIN = 0.10
# A learning that was followed with success rises by up to this, one that was followed in vain falls as much.
TRACK_RECORD = 0.20
# As if every learning had been followed twice before, with one success: one good end proves little.
PRIOR_SUCCESSES, PRIOR_USES = 1.0, 2.0
# Days after which a learning that nobody has followed yet counts half.
HALF_LIFE_DAYS = 180.0


class Candidate(msgspec.Struct, frozen=True):
    """An active learning near the fix. `uses` are fixes that cited it and have ended, `successes` those that held."""

    learning_id: UUID
    title: str
    similarity: float
    category: str | None
    agent_domains: tuple[str, ...]
    uses: int
    successes: int
    created_at: datetime


def rank_related(
    candidates: Iterable[Candidate], now: datetime, *, category: Category, domains: Collection[str] = ()
) -> tuple[Related, ...]:
    """At most three, best first. The `similarity` given back is the bare one, not the score they are ranked by."""
    near = sorted((c for c in candidates if c.similarity >= LEAST_SIMILARITY), key=lambda each: each.similarity)
    # One that superseded others comes once for each: the nearest of them speaks for it.
    single = {candidate.learning_id: candidate for candidate in near}.values()
    best = sorted(single, key=lambda each: (-score(each, now, category, domains), each.learning_id))[:SHOWN]
    return tuple(Related(learning_id=each.learning_id, title=each.title, similarity=each.similarity) for each in best)


def score(candidate: Candidate, now: datetime, category: Category, domains: Collection[str]) -> float:
    merit = (
        candidate.similarity
        + SAME_CATEGORY * (candidate.category == category)
        + SAME_DOMAIN * (not set(domains).isdisjoint(candidate.agent_domains))
        + TRACK_RECORD * (2 * success_rate(candidate) - 1)
    )
    return merit * freshness(candidate, now)


def success_rate(candidate: Candidate) -> float:
    """Shrunk towards one half, 0..1 exclusive."""
    return (candidate.successes + PRIOR_SUCCESSES) / (candidate.uses + PRIOR_USES)


def freshness(candidate: Candidate, now: datetime) -> float:
    """1 for what a success has confirmed; the rest fades with age."""
    if candidate.successes:
        return 1.0
    days = max(0.0, (now - candidate.created_at).total_seconds() / 86400)
    return float(0.5 ** (days / HALF_LIFE_DAYS))
