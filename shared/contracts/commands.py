"""Requests that are answered at once over core NATS (one queue group per service).

Every answer is a `Reply`: exactly one of `value` and `problem`.
"""

from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from shared.contracts.fixes import Category, Decision, Related, Signals, Source

CONFIDENCE = "scoring.confidence"
THRESHOLDS_SET = "scoring.thresholds.set"
ANALYZE = "patterns.analyze"
CORRECT = "patterns.fixes.correct"
LEARNING_CREATE = "patterns.learnings.create"
LEARNING_UPDATE = "patterns.learnings.update"
LEARNING_DELETE = "patterns.learnings.delete"
LEARNING_RELEASE = "patterns.learnings.release"
PATTERN_RELATED = "patterns.related"
COLLABORATION_OPEN = "patterns.collaborations.open"
COLLABORATION_JOIN = "patterns.collaborations.join"
COLLABORATION_UPDATE = "patterns.collaborations.update"
COLLABORATION_PROPOSE = "patterns.collaborations.propose"
COLLABORATION_VOTE = "patterns.collaborations.vote"

LearningStatus = Literal["active", "held", "superseded"]
CollaborationType = Literal["review", "debug", "design", "incident"]
CollaborationStatus = Literal["open", "resolved", "expired"]


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """Why a command was refused, in the words of the HTTP answer that will carry it."""

    status: int
    code: str
    detail: str
    field: str | None = None


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    value: msgspec.Raw = msgspec.Raw(b"null")
    problem: Problem | None = None


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A fix to score without storing it, with history as of now."""

    agent_id: str
    repository: str
    author: str | None = None
    fix_type: str | None = None
    signals: Signals | None = None
    diff: str | None = None
    features: dict[str, float] | None = None
    # Beside `features`: the files it touches, so that their history counts although nobody sees the diff.
    paths: tuple[str, ...] = ()
    explain: bool = False


class Contribution(msgspec.Struct, frozen=True, kw_only=True):
    """`effect` is in log-odds before calibration; `value` is null where the feature is unknown."""

    feature: str
    value: float | None
    effect: float


class Confidence(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=False):
    confidence: float
    source: Source
    degraded: bool
    model_version: str | None
    evidence: int | None
    low_evidence: bool | None
    decision: Decision
    cached: bool = False


class ExplainedConfidence(Confidence, frozen=True, kw_only=True):
    """`base_value`, the contributions and `others`, the sum of those too small to list, make `raw_score`."""

    base_value: float
    contributions: tuple[Contribution, ...]
    others: float
    raw_score: float


class ThresholdsSet(msgspec.Struct, frozen=True, kw_only=True):
    """From `auto_merge` on a change may merge by itself, below `block` it gets no further. '' = every other repository.

    The whole state, so a repeated command is the same command.
    """

    repository: str
    auto_merge: float
    block: float


class ToAnalyze(msgspec.Struct, frozen=True, kw_only=True):
    diff: str
    title: str | None = None
    repository: str | None = None


class Analysis(msgspec.Struct, frozen=True, kw_only=True):
    """`novelty` is 1 - the similarity to the nearest known pattern; null when there is none to compare with."""

    category: Category
    category_confidence: float
    categories: dict[str, float]
    security_rank: float
    is_new: bool
    novelty: float | None
    pattern_id: UUID | None
    duplicate_of: UUID | None
    related: tuple[Related, ...]
    languages: dict[str, int]
    # Null while the file that ships answers, and the registry has no champion of that kind.
    model_version: str | None = None


class Correction(msgspec.Struct, frozen=True, kw_only=True):
    """`revision` is the one that the caller has seen (`If-Match`); null: any."""

    command_id: UUID
    fix_id: UUID
    category: Literal["bug-fix", "performance", "security", "refactor"]
    principal: str
    revision: int | None = None


class PatternRelatedTo(msgspec.Struct, frozen=True, kw_only=True):
    """Asks what lies near this pattern."""

    pattern_id: UUID


class RelatedPattern(msgspec.Struct, frozen=True, kw_only=True):
    pattern_id: UUID
    label: str
    category: Category
    support: int
    similarity: float


class NearPattern(msgspec.Struct, frozen=True, kw_only=True):
    """Other patterns and learnings near one pattern, the nearest first."""

    patterns: tuple[RelatedPattern, ...]
    learnings: tuple[Related, ...]


class LearningCreate(msgspec.Struct, frozen=True, kw_only=True):
    id: UUID
    principal: str
    agent_id: str
    title: str
    body: str
    agent_domains: tuple[str, ...] = ()
    category: Category | None = None
    pattern_id: UUID | None = None
    # Where it was learned.
    fix_id: UUID | None = None
    collaboration_id: UUID | None = None


class LearningChanges(msgspec.Struct, frozen=True, kw_only=True):
    """What is left out stays as it is; null takes away."""

    title: str | UnsetType = UNSET
    body: str | UnsetType = UNSET
    agent_domains: tuple[str, ...] | UnsetType = UNSET
    category: Category | UnsetType | None = UNSET
    pattern_id: UUID | UnsetType | None = UNSET
    superseded_by: UUID | UnsetType | None = UNSET


class LearningCommand(msgspec.Struct, frozen=True, kw_only=True):
    """Speaks of one learning that is there. `version` is the one that the caller has seen (`If-Match`); null: any."""

    command_id: UUID
    id: UUID
    principal: str
    # Whether the principal may act on what others wrote.
    operator: bool = False
    version: int | None = None


class LearningUpdate(LearningCommand, frozen=True, kw_only=True):
    changes: LearningChanges


class LearningDelete(LearningCommand, frozen=True, kw_only=True):
    pass


class LearningRelease(LearningCommand, frozen=True, kw_only=True):
    pass


class CollaborationOpen(msgspec.Struct, frozen=True, kw_only=True):
    id: UUID
    principal: str
    agent_id: str
    title: str
    collaboration_type: CollaborationType
    quorum: int
    margin: int
    deadline: datetime
    agent_domains: tuple[str, ...] = ()


class CollaborationJoin(msgspec.Struct, frozen=True, kw_only=True):
    command_id: UUID
    id: UUID
    principal: str
    agent_id: str


class CollaborationChanges(msgspec.Struct, frozen=True, kw_only=True):
    """What is left out stays as it is."""

    title: str | UnsetType = UNSET
    deadline: datetime | UnsetType = UNSET
    progress: float | UnsetType = UNSET


class CollaborationUpdate(msgspec.Struct, frozen=True, kw_only=True):
    command_id: UUID
    id: UUID
    principal: str
    changes: CollaborationChanges
    operator: bool = False
    version: int | None = None


class SolutionPropose(msgspec.Struct, frozen=True, kw_only=True):
    id: UUID
    collaboration_id: UUID
    principal: str
    agent_id: str
    title: str
    body: str


class SolutionVote(msgspec.Struct, frozen=True, kw_only=True):
    command_id: UUID
    collaboration_id: UUID
    solution_id: UUID
    principal: str
    value: Literal[1, -1]
    reason: str | None = None
