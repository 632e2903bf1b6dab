"""Commands about learnings, and the outcomes that move their counts."""

from dataclasses import dataclass
from functools import partial
from uuid import UUID

import asyncpg
from msgspec import UNSET
from nats.aio.msg import Msg

from services.patterns.embedding import embed_words
from services.patterns.learning_rules import amended, reasons_to_hold, released, removed
from services.patterns.learnings_store import LearningStore, NewLearning
from shared.bus import Bus
from shared.contracts.commands import LearningCreate, LearningDelete, LearningRelease, LearningUpdate
from shared.contracts.envelope import Envelope
from shared.contracts.fixes import OutcomeRecorded
from shared.contracts.knowledge import LearningChanged
from shared.delivery import event_id_of
from shared.outbox import Outbox


@dataclass
class Learnings:
    store: LearningStore
    outbox: Outbox
    bus: Bus

    async def create(self, command: LearningCreate) -> UUID:
        await self.outbox.publish(await self.store.create(prepared(command), self.changed))
        return command.id

    async def update(self, command: LearningUpdate) -> UUID:
        changes = command.changes
        decide = partial(amended, command=command, changes=changes)
        successor = None if changes.superseded_by is UNSET else changes.superseded_by
        await self.outbox.publish(await self.store.change(command, decide, self.changed, successor))
        return command.id

    async def delete(self, command: LearningDelete) -> UUID:
        await self.outbox.publish(await self.store.change(command, partial(removed, command=command), self.changed))
        return command.id

    async def release(self, command: LearningRelease) -> UUID:
        await self.outbox.publish(await self.store.change(command, partial(released, command=command), self.changed))
        return command.id

    async def recorded(self, event: OutcomeRecorded, message: Msg) -> None:
        """An accepted outcome."""
        if event.learning_ids:
            await self.outbox.publish(await self.store.outcome(event, event_id_of(message), self.changed))

    def changed(self, row: asyncpg.Record) -> Envelope:
        return self.bus.seal(LearningChanged(id=row["id"], version=row["version"], deleted=row["deleted"]))


def prepared(command: LearningCreate) -> NewLearning:
    """Screened, and with its place among the others."""
    reasons = reasons_to_hold(command.title, command.body, command.agent_domains)
    return NewLearning(command, embed_words(command.title, command.body), reasons)
