"""What callers get of the fleet's memory; see `views`."""

from uuid import UUID

import msgspec

from services.gateway.intervals import Interval
from services.gateway.views import Instant
from shared.contracts.commands import (
    CollaborationStatus,
    CollaborationType,
    LearningStatus,
    RelatedPattern,
)
from shared.contracts.fixes import Category, Related


class Learning(msgspec.Struct, frozen=True, kw_only=True):
    """`confidence` is the share of settled fixes citing it that held; null while there is none.

    Title and body of a held learning are null: nobody reads it before an operator has. `duplicate_of` is the learning
    that it all but repeated when it was written.
    """

    id: UUID
    title: str | None
    body: str | None
    principal: str
    agent_id: str
    agent_domains: list[str]
    category: Category | None
    confidence: float | None
    interval: Interval | None
    pattern_id: UUID | None
    fix_id: UUID | None
    collaboration_id: UUID | None
    duplicate_of: UUID | None
    uses: int
    successes: int
    status: LearningStatus
    held_reasons: list[str]
    released_by: str | None
    superseded_by: UUID | None
    created_at: Instant
    updated_at: Instant
    version: int


class HeldLearning(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator reads before releasing it: evidence, never an instruction."""

    id: UUID
    title: str
    body: str
    principal: str
    agent_id: str
    agent_domains: list[str]
    held_reasons: list[str]
    created_at: Instant
    version: int


class LearningVersion(msgspec.Struct, frozen=True, kw_only=True):
    """What a learning said before `replaced_by` changed it; title and body are null where that version was held."""

    version: int
    title: str | None
    body: str | None
    agent_domains: list[str]
    category: Category | None
    pattern_id: UUID | None
    status: LearningStatus
    held_reasons: list[str]
    superseded_by: UUID | None
    replaced_by: str
    replaced_at: Instant


class Pattern(msgspec.Struct, frozen=True, kw_only=True):
    """`succeeded` and `failed` count its newest 200 fixes; `rate` is the share of these that held."""

    id: UUID
    label: str
    category: Category
    support: int
    succeeded: int
    failed: int
    rate: float | None
    interval: Interval | None
    example_fix_id: UUID
    first_seen_at: Instant
    last_seen_at: Instant


class PatternRelated(msgspec.Struct, frozen=True, kw_only=True):
    """`items` are other patterns, the nearest first; `learnings` those that apply to this one."""

    items: list[RelatedPattern]
    learnings: list[Related]
    next_cursor: str | None = None


class Solution(msgspec.Struct, frozen=True, kw_only=True):
    """The votes on it, and their reasons, are null until the collaboration is closed."""

    id: UUID
    agent_id: str
    title: str
    body: str
    votes_for: int | None
    votes_against: int | None
    reasons: list[str] | None
    created_at: Instant


class Collaboration(msgspec.Struct, frozen=True, kw_only=True):
    """`votes_cast` counts the principals that have voted, `quorum` those that must.

    `progress` is what its members tell, and 1 once it is resolved.
    """

    id: UUID
    title: str
    collaboration_type: CollaborationType
    status: CollaborationStatus
    progress: float
    principal: str
    agents: list[str]
    agent_domains: list[str]
    quorum: int
    margin: int
    deadline: Instant
    votes_cast: int
    solutions: list[Solution]
    accepted_solution_id: UUID | None
    learning_id: UUID | None
    created_at: Instant
    closed_at: Instant | None
    version: int


class HandbookLearning(msgspec.Struct, frozen=True, kw_only=True):
    """An active learning under one of its domains; `all` counts the active learnings of that domain."""

    domain: str | None
    all: int
    id: UUID
    title: str
    body: str
    agent_id: str
    category: Category | None
    uses: int
    successes: int
    interval: Interval | None
    updated_at: Instant


class HandbookPattern(msgspec.Struct, frozen=True, kw_only=True):
    """A pattern with the domains that its fixes declared, and an example of it."""

    id: UUID
    label: str
    category: Category
    support: int
    succeeded: int
    failed: int
    interval: Interval | None
    domains: list[str]
    example_title: str | None
    example_repository: str | None
    changed_at: Instant
