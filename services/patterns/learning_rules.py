"""What may become of a learning: who may change it, and what a change makes of it. Pure."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import msgspec
from msgspec import UNSET

from services.patterns.screening import screen
from shared.contracts.commands import LearningChanges, LearningCommand, LearningStatus
from shared.errors import refuse

# Cosine of the words of two learnings. Learnings of one place that teach two things stay below, the same lesson with
# a few words changed lies above: tests/unit/test_learning_rules.py.
DUPLICATE = 0.80


class Learning(msgspec.Struct, frozen=True, kw_only=True):
    """What is stored of a learning and can be changed. `held_reasons` are empty for all but a held one."""

    id: UUID
    principal: str
    title: str
    body: str
    agent_domains: tuple[str, ...]
    category: str | None
    pattern_id: UUID | None
    held_reasons: tuple[str, ...]
    superseded_by: UUID | None
    released_by: str | None
    version: int

    @property
    def status(self) -> LearningStatus:
        if self.held_reasons:
            return "held"
        return "active" if self.superseded_by is None else "superseded"

    @property
    def text(self) -> tuple[str, str, tuple[str, ...]]:
        """What others read of it."""
        return self.title, self.body, self.agent_domains


# What a command makes of a learning; None takes it away. Raises `CommandRefused`.
Decide = Callable[[Learning], Learning | None]


def reasons_to_hold(title: str, body: str, agent_domains: tuple[str, ...]) -> tuple[str, ...]:
    return screen(title, "\n".join((body, *agent_domains)))


def amended(learning: Learning, command: LearningCommand, changes: LearningChanges) -> Learning:
    """A text that changed is screened again, whoever changed it."""
    check(learning, command)
    if changes.superseded_by == learning.id:
        refuse(400, "invalid_request", "a learning cannot be superseded by itself", "superseded_by")
    told: dict[str, Any] = {name: getattr(changes, name) for name in changes.__struct_fields__}
    after = msgspec.structs.replace(learning, **{name: value for name, value in told.items() if value is not UNSET})
    if after.text != learning.text:
        after = msgspec.structs.replace(after, held_reasons=reasons_to_hold(*after.text), released_by=None)
    return after


def released(learning: Learning, command: LearningCommand) -> Learning:
    check(learning, command)
    if not learning.held_reasons:
        refuse(409, "not_held", "this learning is not held")
    return msgspec.structs.replace(learning, held_reasons=(), released_by=command.principal)


def removed(learning: Learning, command: LearningCommand) -> None:
    check(learning, command)


def check(learning: Learning, command: LearningCommand) -> None:
    """The author and operators may; nobody may change what he has not seen."""
    if learning.principal != command.principal and not command.operator:
        refuse(403, "not_author", "only the principal that wrote a learning may change it, or an operator")
    if command.version not in (None, learning.version):
        refuse(412, "precondition_failed", f"it is at version {learning.version} by now; read it again")
