"""What is said about a fix: submitted, scored, categorized, and what became of it."""

from datetime import datetime
from typing import ClassVar, Literal
from uuid import UUID

import msgspec

from shared.contracts.envelope import Event
from shared.ids import derived_id

OutcomeKind = Literal["merged", "rejected", "held", "reverted", "fixed_again"]
FixStatus = Literal["accepted", "scored", "succeeded", "failed", "rejected"]
Source = Literal["model", "formula"]
Decision = Literal["auto_merge", "review", "block"]
Category = Literal["bug-fix", "performance", "security", "refactor", "uncertain"]

# What an outcome makes of a fix; a kind that is missing here (merged, rejected) leaves the status as it is.
SETTLED: dict[str, FixStatus] = {"held": "succeeded", "reverted": "failed", "fixed_again": "failed"}


class Signals(msgspec.Struct, frozen=True, kw_only=True):
    """What the submitter claims about the change; kept as claimed, never enough for an automatic merge."""

    tests_passed: bool | None = None
    ci_status: Literal["success", "failure", "pending"] | None = None
    retries: int | None = None
    linked_issue: bool | None = None


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    kind: OutcomeKind
    observed_at: datetime
    detail: str | None = None


class Related(msgspec.Struct, frozen=True, kw_only=True):
    learning_id: UUID
    title: str
    similarity: float


class FixSubmitted(Event, frozen=True, kw_only=True):
    """A fix as it was handed in: exactly one of `diff` and `features` is present."""

    SUBJECT: ClassVar[str] = "fixes.submitted.v1"

    id: UUID
    principal: str
    agent_id: str
    repository: str
    submitted_at: datetime
    external_id: str | None = None
    author: str | None = None
    title: str | None = None
    fix_type: str | None = None
    domains: tuple[str, ...] = ()
    learning_ids: tuple[UUID, ...] = ()
    signals: Signals | None = None
    diff: str | None = None
    features: dict[str, float] | None = None
    # Beside `features`: the files it touches, so that their history counts although nobody sees the diff.
    paths: tuple[str, ...] = ()
    # True when the caller set `submitted_at`: history is then read as of that time, else as of the scoring.
    backdated: bool = False
    # Present only on imports (scope `operate`): the outcome is applied with the fix, in time order.
    outcome: Outcome | None = None

    def subject_id(self) -> str:
        return str(self.id)

    def event_id(self) -> UUID:
        """A re-import that has learned a new outcome is another event; a plain repeat is the same one."""
        if self.outcome is None:
            return derived_id(self.SUBJECT, str(self.id))
        return derived_id(self.SUBJECT, str(self.id), self.outcome.kind, self.outcome.observed_at.isoformat())


class FixImported(FixSubmitted, frozen=True, kw_only=True):
    """A fix of the past. A lane of its own, so that a live fix never waits behind a whole history."""

    SUBJECT: ClassVar[str] = "fixes.imported.v1"


class FixScored(Event, frozen=True, kw_only=True):
    SUBJECT: ClassVar[str] = "fixes.scored.v1"

    id: UUID
    agent_id: str
    repository: str
    status: FixStatus
    scored_at: datetime
    status_reason: str | None = None
    confidence: float | None = None
    source: Source | None = None
    degraded: bool = False
    model_version: str | None = None
    evidence: int | None = None
    low_evidence: bool | None = None
    decision: Decision | None = None

    def subject_id(self) -> str:
        return str(self.id)

    def event_id(self) -> UUID:
        """A rejection may be followed by a replay that succeeds: the two are different events."""
        return derived_id(self.SUBJECT, str(self.id), "rejected" if self.status == "rejected" else "scored")


class FixCategorized(Event, frozen=True, kw_only=True):
    SUBJECT: ClassVar[str] = "fixes.categorized.v1"

    id: UUID
    agent_id: str
    repository: str
    category: Category
    category_confidence: float | None = None
    pattern_id: UUID | None = None
    duplicate_of: UUID | None = None
    is_new: bool = False
    corrected: bool = False
    # The category model that spoke; null for a correction, and for the file that ships while none is registered.
    model_version: str | None = None
    # Which statement about the fix this is: -1 that there is none, 0 the prediction, then one for each correction, and
    # for a pattern that formed later with this fix in it.
    revision: int = 0

    def subject_id(self) -> str:
        return str(self.id)

    def event_id(self) -> UUID:
        return derived_id(self.SUBJECT, str(self.id), str(self.revision))


class OutcomeReported(Event, frozen=True, kw_only=True):
    """A claim; scoring answers it with `OutcomeRecorded`."""

    SUBJECT: ClassVar[str] = "fixes.outcome_reported.v1"

    outcome_id: UUID
    fix_id: UUID
    reporter: str
    kind: OutcomeKind
    observed_at: datetime
    reported_at: datetime
    detail: str | None = None
    imported: bool = False

    def subject_id(self) -> str:
        return str(self.fix_id)

    def event_id(self) -> UUID:
        return derived_id(self.SUBJECT, str(self.outcome_id))


class OutcomeRecorded(Event, frozen=True, kw_only=True):
    """A fact: the claim was accepted, or refused for a reason."""

    SUBJECT: ClassVar[str] = "fixes.outcome_recorded.v1"

    outcome_id: UUID
    fix_id: UUID
    kind: OutcomeKind
    observed_at: datetime
    accepted: bool
    refused_reason: str | None = None
    agent_id: str | None = None
    repository: str | None = None
    status: FixStatus | None = None
    learning_ids: tuple[UUID, ...] = ()
    # How many reports of the fix are accepted by now: of two events about one fix, the higher knows better.
    revision: int = 0

    def subject_id(self) -> str:
        return str(self.fix_id)

    def event_id(self) -> UUID:
        return derived_id(self.SUBJECT, str(self.outcome_id))
