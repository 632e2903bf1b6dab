"""What the trainer makes known: each change of a run or a model with its events, in one transaction."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

from asyncpg import Record

from services.trainer import store
from services.trainer.domain import STAGES, Run, Verdict, final
from services.trainer.job import Fitted
from services.trainer.store import SCHEMA
from shared.bus import Bus
from shared.contracts.envelope import Event
from shared.contracts.models import ModelKind, ModelPromoted, ModelTrained, RunStatus, TrainingProgressed
from shared.database import Connection
from shared.features.formula import FORMULA
from shared.outbox import Outbox, put, take

SHIPS = "the model that ships, until one of this deployment's own is better"


class RunEndedError(Exception):
    """The run was ended by someone else; what was about to be written is not."""


class Registry:
    def __init__(self, bus: Bus, outbox: Outbox) -> None:
        self._bus = bus
        self._outbox = outbox

    @asynccontextmanager
    async def _committed(self, connection: Connection) -> AsyncIterator[list[Event]]:
        """A transaction; the events put into the list are stored with it and published after it."""
        events: list[Event] = []
        async with connection.transaction():
            yield events
            envelopes = [self._bus.seal(event) for event in events]
            await put(connection, SCHEMA, envelopes)
        await self._outbox.publish(envelopes)

    async def begin(self, connection: Connection, run: Run) -> None:
        async with self._committed(connection) as events:
            await store.begin(connection, run)
            events.append(_progressed(run, "loading"))

    async def said(self, connection: Connection, run: Run, stage: str) -> None:
        async with self._committed(connection) as events:
            await store.progress(connection, run.id, stage, STAGES[stage])
            events.append(_progressed(run, stage))

    async def join(self, connection: Connection, run: Run, *, under_way: bool) -> bool:
        """Whether another run does what `run` asks; they then end alike."""
        async with self._committed(connection) as events:
            other = await store.covering(connection, run, under_way=under_way)
            if other is None:
                return False
            await store.join(connection, run, other["run_id"])
            if not under_way:
                events.append(_ended_like(run, other))
        return True

    async def fail(self, connection: Connection, run: Run, reason: str) -> RunStatus:
        async with self._committed(connection) as events:
            ended = await store.end(connection, run.id, "failed", reason, None)
            events += [ModelTrained(run_id=i, kind=run.kind, status="failed", reason=reason) for i in ended]
        return "failed"

    async def register(
        self, connection: Connection, run: Run, fitted: Fitted, feature_set: str, compared: str | None
    ) -> Verdict:
        """The model and the run's end; with a promotion when it was won against the champion of this moment."""
        async with self._committed(connection) as events:
            champion = await store.lock_champion(connection, run.kind)
            verdict = final(fitted.verdict, compared, champion)
            version = await store.register(connection, run.kind, fitted, feature_set, verdict.status)
            if verdict.promote:
                by = run.requested_by or "trainer"
                events.append(
                    await _promoted(connection, run.kind, version, fitted.sha256, champion, by, verdict.reason)
                )
            ended = await store.end(connection, run.id, "succeeded", verdict.reason, version)
            if not ended:
                raise RunEndedError(f"run {run.id} had ended before its model was registered")
            events += _succeeded(ended, run, version, verdict)
        return verdict

    async def install(self, connection: Connection, shipped: Fitted, feature_set: str) -> bool:
        """Makes the model that ships the champion, as number 0, where none of the deployment's own can be served."""
        async with self._committed(connection) as events:
            previous = await store.lock_champion(connection, "confidence")
            champion = await store.champion(connection, "confidence")
            if champion is not None and serves(champion, shipped, feature_set):
                return False
            version = await store.register(connection, "confidence", shipped, feature_set, "candidate", first=0)
            by, sha256 = "precedent", shipped.sha256
            events.append(await _promoted(connection, "confidence", version, sha256, previous, by, SHIPS))
        return True

    async def install_category(self, connection: Connection, shipped: Fitted, feature_set: str) -> str:
        """Makes the model that ships the champion, unless one that reads changes as this version does has become it."""
        async with self._committed(connection) as events:
            previous = await store.lock_champion(connection, "category")
            champion = await store.champion(connection, "category")
            if champion is not None and champion["feature_set"] == feature_set:
                return str(champion["version"])
            version = await store.register(connection, "category", shipped, feature_set, "candidate", first=0)
            by, sha256 = "precedent", shipped.sha256
            events.append(await _promoted(connection, "category", version, sha256, previous, by, SHIPS))
        return version

    async def promote(self, connection: Connection, request_id: UUID, model: Record, by: str, reason: str) -> None:
        """Once for a request; nothing when `model` is the champion already."""
        async with self._committed(connection) as events:
            if not await take(connection, SCHEMA, [request_id]):
                return
            champion = await store.lock_champion(connection, model["kind"])
            if champion != model["version"]:
                kind, version, sha256 = model["kind"], model["version"], model["sha256"]
                events.append(await _promoted(connection, kind, version, sha256, champion, by, reason))


async def _promoted(
    connection: Connection, kind: ModelKind, version: str, sha256: str, previous: str | None, by: str, reason: str
) -> ModelPromoted:
    promotion_id = await store.promote(connection, kind, version, previous, by, reason)
    return ModelPromoted(promotion_id=promotion_id, version=version, kind=kind, sha256=sha256, previous=previous)


def serves(champion: Record, shipped: Fitted, feature_set: str) -> bool:
    """Whether scoring of this version can serve it, and it is no earlier model that shipped."""
    readable = (champion["feature_set"], champion["formula"]) == (feature_set, FORMULA)
    return readable and (not champion["shipped"] or champion["sha256"] == shipped.sha256)


def _progressed(run: Run, stage: str) -> TrainingProgressed:
    return TrainingProgressed(run_id=run.id, kind=run.kind, status="running", progress=STAGES[stage], stage=stage)


def _ended_like(run: Run, other: Record) -> ModelTrained:
    return ModelTrained(
        run_id=run.id,
        kind=run.kind,
        status=other["status"],
        model_version=other["model_version"],
        reason=other["reason"],
    )


def _succeeded(ended: Sequence[UUID], run: Run, version: str, verdict: Verdict) -> list[ModelTrained]:
    return [
        ModelTrained(
            run_id=run_id,
            kind=run.kind,
            status="succeeded",
            model_version=version,
            promoted=verdict.promote,
            reason=verdict.reason,
        )
        for run_id in ended
    ]
