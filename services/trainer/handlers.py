"""Everything the trainer hears on the bus."""

from contextlib import suppress
from dataclasses import dataclass

import msgspec
from faststream.exceptions import NackMessage
from nats.aio.msg import Msg

from services.trainer import store
from services.trainer.domain import Run, run_id
from services.trainer.preparing import READERS
from services.trainer.process import StoppedError
from services.trainer.registry import Registry
from services.trainer.store import Store
from services.trainer.training import BusyError, Trainer
from shared import artefacts
from shared.bus import Bus
from shared.contracts.envelope import unseal
from shared.contracts.models import PromotionRequested, RetrainRequested
from shared.delivery import Delivery
from shared.errors import PermanentError

# Long enough for this replica to be gone, so that another one takes the run.
STOPPED_SECONDS = 1.0
BUSY_SECONDS = 30.0


@dataclass(frozen=True)
class Handlers:
    trainer: Trainer
    registry: Registry
    store: Store
    bus: Bus

    def register(self, delivery: Delivery) -> None:
        bus = self.bus
        bus.hear_work(RetrainRequested.SUBJECT)(delivery.of(RetrainRequested, self.retrain, self.given_up))
        bus.hear_work(PromotionRequested.SUBJECT)(delivery.of(PromotionRequested, self.promote))

    async def retrain(self, event: RetrainRequested, message: Msg) -> None:
        try:
            await self.trainer.run(run_of(event, message))
        except StoppedError:
            raise NackMessage(delay=STOPPED_SECONDS) from None
        except BusyError:
            raise NackMessage(delay=BUSY_SECONDS) from None

    async def given_up(self, message: Msg, reason: str) -> None:
        """A request that can be read has a run, and its asker is told; the rest is told by DEAD alone."""
        with suppress(msgspec.MsgspecError):
            run = run_of(unseal(RetrainRequested, message.data), message)
            async with self.store.connection() as connection:
                await self.registry.begin(connection, run)
                await self.registry.fail(connection, run, reason)

    async def promote(self, event: PromotionRequested, message: Msg) -> None:
        async with self.store.connection() as connection:
            model = await store.model(connection, event.version)
            if model is None:
                raise PermanentError(f"no model {event.version}")
            try:
                await artefacts.fetch_as(READERS[model["kind"]], self.bus.js, model["sha256"])
            except artefacts.ArtefactError as error:
                raise PermanentError(f"{event.version} cannot be promoted: {error}") from error
            reason = event.reason or "asked for"
            await self.registry.promote(connection, event.request_id, model, event.requested_by, reason)


def run_of(event: RetrainRequested, message: Msg) -> Run:
    metadata = message.metadata
    return Run(
        id=run_id(event.run_id, message.headers, metadata.stream, metadata.sequence.stream),
        kind=event.kind,
        requested_at=metadata.timestamp,
        requested_by=event.requested_by,
        reason=event.reason,
    )
