"""One run from request to registered model: load, fit in a process of its own, register."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from services.trainer import canary, default, job, process, store
from services.trainer.domain import Run, Verdict
from services.trainer.job import Fitted, Refused
from services.trainer.metrics import TrainerMetrics
from services.trainer.preparing import Preparation
from services.trainer.process import FitFailedError
from services.trainer.registry import Registry, serves
from services.trainer.store import Store
from shared import artefacts
from shared.bus import Bus
from shared.contracts.models import ModelKind, RunStatus
from shared.database import Connection
from shared.flags import Flags

FIT_LIMIT_SECONDS = 3600.0
# A run that cannot be seen yet, or is about to end, is looked for again.
LOOKS = 10
LOOK_SECONDS = 0.5


class BusyError(Exception):
    """This very run is under way elsewhere."""


@dataclass(frozen=True)
class Trainer:
    store: Store
    registry: Registry
    bus: Bus
    metrics: TrainerMetrics
    preparations: Mapping[ModelKind, Preparation]
    stop: asyncio.Event
    flags: Flags

    async def run(self, run: Run) -> None:
        """Does the run, or joins one that does what it asks. Raises `StoppedError` and `BusyError`."""
        for _ in range(LOOKS):
            if await self._done(run):
                return
            await asyncio.sleep(LOOK_SECONDS)
        raise BusyError

    async def install_default(self) -> None:
        """Puts the model that ships where nothing of this deployment's own can answer."""
        about, feature_set = default.about(), self.preparations["confidence"].feature_set
        async with self.store.connection() as connection:
            champion = await store.champion(connection, "confidence")
            if champion is not None and serves(champion, about, feature_set):
                return
            await artefacts.store(self.bus.js, about.sha256, default.artefact())
            await self.registry.install(connection, about, feature_set)

    async def _done(self, run: Run) -> bool:
        """The connection that holds the lock also writes the result: when it is lost, so is the right to register."""
        async with self.store.connection() as connection:
            alone = await store.try_fit_lock(connection, run.kind)
            if await store.settled(connection, run.id):
                return True
            if await self.registry.join(connection, run, under_way=not alone):
                return True
            if alone:
                await self._train(connection, run)
            return alone

    async def _train(self, connection: Connection, run: Run) -> None:
        started, status = time.perf_counter(), "stopped"
        try:
            await self.registry.begin(connection, run)
            with process.workplace() as directory:
                status = await self._fit(connection, run, directory)
        except FitFailedError as error:
            status = await self.registry.fail(connection, run, str(error))
        finally:
            self.metrics.runs.labels(run.kind, status).observe(time.perf_counter() - started)

    async def _fit(self, connection: Connection, run: Run, directory: Path) -> RunStatus:
        prepare = self.preparations[run.kind]
        compared = await prepare(connection, directory)
        fitted = await process.fit(
            directory,
            said=lambda stage: self.registry.said(connection, run, stage),
            stop=self.stop,
            limit_seconds=FIT_LIMIT_SECONDS,
        )
        if isinstance(fitted, Refused):
            return await self.registry.fail(connection, run, fitted.reason)
        await self.registry.said(connection, run, "registering")
        if fault := await canary.refusal(run.kind, directory / job.ARTEFACT, fitted.sha256):
            return await self.registry.fail(connection, run, f"the model failed its trial: {fault}")
        await artefacts.store(self.bus.js, fitted.sha256, (directory / job.ARTEFACT).read_bytes())
        fitted = self._held_back(fitted)
        compared = await prepare.installed(connection, compared)
        verdict = await self.registry.register(connection, run, fitted, prepare.feature_set, compared)
        if verdict.promote:
            self.metrics.calibration_error.labels(run.kind).set(fitted.metrics["ece"])
        return "succeeded"

    def _held_back(self, fitted: Fitted) -> Fitted:
        """With the flag off, a better model waits as a candidate for somebody to promote it."""
        if self.flags.on("auto_promotion") or not fitted.verdict.promote:
            return fitted
        waits = Verdict(False, f"auto_promotion is off; otherwise: {fitted.verdict.reason}")
        return msgspec.structs.replace(fitted, verdict=waits)
