"""What is said about models: asked for, trained, promoted."""

from typing import ClassVar, Literal
from uuid import UUID

from shared.contracts.envelope import Event
from shared.ids import derived_id

ModelKind = Literal["confidence", "category"]
RunStatus = Literal["queued", "running", "succeeded", "failed"]


class RetrainRequested(Event, frozen=True, kw_only=True):
    """`ce-id` is the run's id. Anyone with the right to publish it may ask; an empty object asks for `confidence`."""

    SUBJECT: ClassVar[str] = "models.retrain_requested.v1"

    run_id: UUID | None = None
    kind: ModelKind = "confidence"
    reason: str | None = None
    requested_by: str | None = None

    def subject_id(self) -> str:
        return str(self.run_id)

    def event_id(self) -> UUID:
        if self.run_id is None:
            raise ValueError("run_id: set it before publishing")
        return self.run_id


class PromotionRequested(Event, frozen=True, kw_only=True):
    SUBJECT: ClassVar[str] = "models.promotion_requested.v1"

    request_id: UUID
    version: str
    requested_by: str
    reason: str | None = None

    def subject_id(self) -> str:
        return self.version

    def event_id(self) -> UUID:
        return self.request_id


class TrainingProgressed(Event, frozen=True, kw_only=True):
    SUBJECT: ClassVar[str] = "models.training_progressed.v1"

    run_id: UUID
    kind: ModelKind
    status: RunStatus
    progress: float
    stage: str

    def subject_id(self) -> str:
        return str(self.run_id)

    def event_id(self) -> UUID:
        return derived_id(self.SUBJECT, str(self.run_id), self.stage)


class ModelTrained(Event, frozen=True, kw_only=True):
    """The end of a run, good or bad."""

    SUBJECT: ClassVar[str] = "models.trained.v1"

    run_id: UUID
    kind: ModelKind
    status: RunStatus
    model_version: str | None = None
    promoted: bool = False
    reason: str | None = None

    def subject_id(self) -> str:
        return str(self.run_id)


class ModelPromoted(Event, frozen=True, kw_only=True):
    """Serve this one from now on. `promotion_id` grows with every promotion, so an old word is told from a new one."""

    SUBJECT: ClassVar[str] = "models.promoted.v1"

    promotion_id: int
    version: str
    kind: ModelKind
    sha256: str
    previous: str | None = None

    def subject_id(self) -> str:
        return self.version

    def event_id(self) -> UUID:
        return derived_id(self.SUBJECT, str(self.promotion_id))
