"""What callers may send. Unknown fields are refused: a typo must not be taken for a default."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from shared.contracts.fixes import OutcomeKind, Signals

# Postgres keeps no NUL in text.
NO_NUL = r"^[^\u0000]*$"
MAX_DOMAINS = 32
MAX_PATHS = 200
MAX_LEARNINGS = 32
MAX_BATCH = 256

AgentId = Annotated[str, Meta(pattern=NO_NUL, min_length=1, max_length=200)]
Repository = Annotated[str, Meta(pattern=NO_NUL, min_length=1, max_length=300)]
ExternalId = Annotated[str, Meta(pattern=NO_NUL, min_length=1, max_length=500)]
Author = Annotated[str, Meta(pattern=NO_NUL, min_length=1, max_length=300)]
Title = Annotated[str, Meta(pattern=NO_NUL, min_length=1, max_length=1000)]
FixType = Annotated[str, Meta(pattern=NO_NUL, min_length=1, max_length=40)]
Domains = Annotated[
    tuple[Annotated[str, Meta(pattern=NO_NUL, min_length=1, max_length=100)], ...], Meta(max_length=MAX_DOMAINS)
]
LearningIds = Annotated[tuple[UUID, ...], Meta(max_length=MAX_LEARNINGS)]
Instant = Annotated[datetime, Meta(tz=True)]
Detail = Annotated[str, Meta(pattern=NO_NUL, max_length=2000)]


Paths = Annotated[
    tuple[Annotated[str, Meta(pattern=NO_NUL, min_length=1, max_length=1000)], ...],
    Meta(max_length=MAX_PATHS, description="With `features`: the source files touched, so that their past counts."),
]


class SignalsBody(Signals, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the submitter claims; the fields of `Signals`."""


class OutcomeBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    kind: OutcomeKind
    observed_at: Instant | None = None
    detail: Detail | None = None


class NamedOutcomeBody(OutcomeBody, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The fix by the name its repository gives it."""

    repository: Repository
    external_id: ExternalId


class FixBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A proposed fix; exactly one of `diff` and `features`."""

    agent_id: AgentId
    repository: Repository
    external_id: ExternalId | None = None
    author: Author | None = None
    title: Title | None = None
    fix_type: FixType | None = None
    domains: Domains = ()
    learning_ids: LearningIds = ()
    signals: SignalsBody | None = None
    submitted_at: Instant | None = None
    diff: str | None = None
    features: dict[str, float] | None = None
    paths: Paths = ()


class BulkLine(FixBody, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A fix of the past, with what became of it where that is known."""

    outcome: OutcomeBody | None = None


class ConfidenceBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is handed in as a fix may be asked about: its name, title, domains and learnings count for nothing."""

    agent_id: AgentId
    repository: Repository
    external_id: ExternalId | None = None
    author: Author | None = None
    title: Title | None = None
    fix_type: FixType | None = None
    domains: Domains = ()
    learning_ids: LearningIds = ()
    signals: SignalsBody | None = None
    diff: str | None = None
    features: dict[str, float] | None = None
    paths: Paths = ()


class ConfidenceBatchBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    items: Annotated[tuple[ConfidenceBody, ...], Meta(min_length=1, max_length=MAX_BATCH)]


class AnalyzeBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    diff: str
    title: Title | None = None
    repository: Repository | None = None


class CorrectionBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    category: Literal["bug-fix", "performance", "security", "refactor"]


class RetrainBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    kind: Literal["confidence", "category"] = "confidence"
    reason: Detail | None = None


class FlagBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    on: bool


class PromoteBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    reason: Detail | None = None


class ThresholdsBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """0 ≤ `block` < `auto_merge` ≤ 1."""

    auto_merge: Annotated[float, Meta(ge=0, le=1)]
    block: Annotated[float, Meta(ge=0, le=1)]
