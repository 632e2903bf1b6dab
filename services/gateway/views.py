"""What callers get. `null` means not known, or not yet; nothing here is invented."""

from datetime import datetime
from typing import Annotated, Any, Generic, Literal, TypeVar
from uuid import UUID

import msgspec
from msgspec import Meta

from shared.contracts.fixes import Category, Decision, FixStatus, OutcomeKind, Related, Source
from shared.contracts.models import ModelKind, RunStatus

T = TypeVar("T")
State = Literal["ok", "degraded", "unavailable", "draining"]
# Always told in UTC.
Instant = Annotated[datetime, Meta(tz=True)]


class FieldError(msgspec.Struct, frozen=True):
    field: str
    message: str


class ProblemDetails(msgspec.Struct, frozen=True, kw_only=True):
    """The body of every error."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    trace_id: str | None = None
    errors: tuple[FieldError, ...] = ()
    # Named by the draft that defines it, draft-ietf-httpapi-ratelimit-headers; only on `429`.
    violated_policies: tuple[str, ...] | msgspec.UnsetType = msgspec.field(
        default=msgspec.UNSET, name="violated-policies"
    )


class OutcomeView(msgspec.Struct, frozen=True, kw_only=True):
    kind: OutcomeKind
    observed_at: Instant


class Fix(msgspec.Struct, frozen=True, kw_only=True):
    id: UUID
    status: FixStatus
    agent_id: str | None = None
    repository: str | None = None
    external_id: str | None = None
    author: str | None = None
    title: str | None = None
    fix_type: str | None = None
    domains: list[str] = []
    status_reason: str | None = None
    submitted_at: Instant | None = None
    scored_at: Instant | None = None
    confidence: float | None = None
    source: Source | None = None
    degraded: bool | None = None
    model_version: str | None = None
    evidence: int | None = None
    low_evidence: bool | None = None
    decision: Decision | None = None
    category: Category | None = None
    category_confidence: float | None = None
    pattern_id: UUID | None = None
    duplicate_of: UUID | None = None
    related: list[Related] | None = None
    outcome: OutcomeView | None = None


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """The fix is on disk in the log; everything else follows."""

    id: UUID
    status: FixStatus


class OutcomeAccepted(msgspec.Struct, frozen=True, kw_only=True):
    outcome_id: UUID
    status: str = "accepted"


class RunAccepted(msgspec.Struct, frozen=True, kw_only=True):
    run_id: UUID
    status: RunStatus = "queued"


class PromotionAccepted(msgspec.Struct, frozen=True, kw_only=True):
    version: str
    status: str = "accepted"


class ConfidenceBatch(msgspec.Struct, frozen=True, kw_only=True):
    """Each item a `Confidence`, or the problem of that item alone."""

    items: list[Any]


class Model(msgspec.Struct, frozen=True, kw_only=True):
    version: str
    kind: ModelKind
    status: str
    metrics: dict[str, Any]
    base_rate: float | None
    rows: int
    trained_from: Instant | None
    trained_until: Instant | None
    sha256: str
    created_at: Instant
    promoted_at: Instant | None


class Promotion(msgspec.Struct, frozen=True, kw_only=True):
    version: str
    previous: str | None
    promoted_at: Instant
    promoted_by: str
    reason: str


class TrainingRun(msgspec.Struct, frozen=True, kw_only=True):
    run_id: UUID
    kind: ModelKind | None = None
    status: RunStatus
    progress: float
    reason: str | None = None
    model_version: str | None = None
    joined_run_id: UUID | None = None


class FlagView(msgspec.Struct, frozen=True, kw_only=True):
    """`changed_by` and `changed_at` are null while the default holds."""

    name: str
    on: bool
    default: bool
    does: str
    changed_by: str | None = None
    changed_at: Instant | None = None


class Thresholds(msgspec.Struct, frozen=True, kw_only=True):
    """`inherited`: the repository has none of its own, these are everybody's (`repository` = "")."""

    repository: str
    auto_merge: float
    block: float
    inherited: bool


class Page(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """`next_cursor` is null on the last page."""

    items: list[T]
    next_cursor: str | None = None


class BulkAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the answer to a bulk submission. `line` counts from 1."""

    line: int
    id: UUID | None
    status: str
    problem: ProblemDetails | None = None


class Health(msgspec.Struct, frozen=True, kw_only=True):
    status: Literal["ok"] = "ok"


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    status: State
    checks: dict[str, str] = {}
    rate_limits: str | None = None
