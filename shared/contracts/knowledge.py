"""What changed in the fleet's memory."""

from typing import ClassVar
from uuid import UUID

from shared.contracts.envelope import Event
from shared.ids import derived_id


class LearningChanged(Event, frozen=True, kw_only=True):
    SUBJECT: ClassVar[str] = "learnings.changed.v1"

    id: UUID
    version: int
    deleted: bool = False

    def subject_id(self) -> str:
        return str(self.id)

    def event_id(self) -> UUID:
        return derived_id(self.SUBJECT, str(self.id), str(self.version))


class CollaborationChanged(Event, frozen=True, kw_only=True):
    SUBJECT: ClassVar[str] = "collaborations.changed.v1"

    id: UUID
    version: int
    status: str

    def subject_id(self) -> str:
        return str(self.id)

    def event_id(self) -> UUID:
        return derived_id(self.SUBJECT, str(self.id), str(self.version))


class PatternDetected(Event, frozen=True, kw_only=True):
    SUBJECT: ClassVar[str] = "patterns.detected.v1"

    id: UUID
    label: str
    category: str
    support: int

    def subject_id(self) -> str:
        return str(self.id)
