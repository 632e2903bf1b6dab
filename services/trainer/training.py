"""One run from request to registered model: load, fit in a process of its own, register."""

import asyncio
import time
from dataclasses import dataclass
from importlib.metadata import version as installed
from pathlib import Path

import msgspec
from asyncpg import Record

from services.trainer import canary, dataset, default, job, process, store
from services.trainer.domain import NO_CATEGORY_TRAINER, Run, Verdict
from services.trainer.job import Fitted, Job, Refused
from services.trainer.metrics import TrainerMetrics
from services.trainer.process import FitFailedError, StoppedError
from services.trainer.registry import Registry, serves
from services.trainer.store import Store
from shared import artefacts
from shared.bus import Bus
from shared.contracts.models import RunStatus
from shared.database import Connection
from shared.flags import Flags

SEED = 20_240_229  # any: the same seed and data give the same bytes
FIT_THREADS = 2
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
    features: tuple[str, ...]
    feature_set: str
    stop: asyncio.Event
    # Whether models of the deployment's own are fitted on top of the one that ships.
    based: bool
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
        about = default.about()
        async with self.store.connection() as connection:
            champion = await store.champion(connection, "confidence")
            if champion is not None and serves(champion, about, self.feature_set):
                return
            await artefacts.store(self.bus.js, about.sha256, default.artefact())
            await self.registry.install(connection, about, self.feature_set)

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
        if run.kind == "category":
            return await self.registry.fail(connection, run, NO_CATEGORY_TRAINER)
        compared = await self._prepare(connection, directory)
        fitted = await process.fit(
            directory,
            said=lambda stage: self.registry.said(connection, run, stage),
            stop=self.stop,
            limit_seconds=FIT_LIMIT_SECONDS,
        )
        if isinstance(fitted, Refused):
            return await self.registry.fail(connection, run, fitted.reason)
        await self.registry.said(connection, run, "registering")
        if fault := await canary.refusal(directory / job.ARTEFACT, fitted.sha256):
            return await self.registry.fail(connection, run, f"the model failed its trial: {fault}")
        await artefacts.store(self.bus.js, fitted.sha256, (directory / job.ARTEFACT).read_bytes())
        fitted = self._held_back(fitted)
        verdict = await self.registry.register(connection, run, fitted, self.feature_set, compared)
        if verdict.promote:
            self.metrics.calibration_error.labels(run.kind).set(fitted.metrics["ece"])
        return "succeeded"

    def _held_back(self, fitted: Fitted) -> Fitted:
        """With the flag off, a better model waits as a candidate for somebody to promote it."""
        if self.flags.on("auto_promotion") or not fitted.verdict.promote:
            return fitted
        waits = Verdict(False, f"auto_promotion is off; otherwise: {fitted.verdict.reason}")
        return msgspec.structs.replace(fitted, verdict=waits)

    async def _prepare(self, connection: Connection, directory: Path) -> str | None:
        """Lays the rows, the champion and the job into `directory`; the champion's version."""
        await self._lay_rows(connection, directory)
        champion = await store.champion(connection, "confidence")
        note = await self._lay_champion(champion, directory) if champion else None
        if self.based:
            (directory / job.BASE).write_bytes(default.artefact())
        task = Job(
            features=self.features,
            feature_set=self.feature_set,
            seed=SEED,
            threads=FIT_THREADS,
            code_version=installed("precedent"),
            champion=champion["version"] if champion and note is None else None,
            based_on=default.about().sha256 if self.based else None,
            notes=(note,) if note else (),
        )
        job.write(directory, job.JOB, task)
        return champion["version"] if champion else None

    async def _lay_rows(self, connection: Connection, directory: Path) -> None:
        number = 0
        async for rows in store.trainable(connection, self.feature_set, len(self.features)):
            if self.stop.is_set():
                raise StoppedError
            await asyncio.to_thread(dataset.write_chunk, directory, number, rows, self.features)
            number += 1

    async def _lay_champion(self, champion: Record, directory: Path) -> str | None:
        """Why the champion cannot be compared with; None when it can, and then its artefact lies in `directory`."""
        if champion["feature_set"] != self.feature_set:
            return f"champion {champion['version']} reads other features: compared with the constant instead"
        try:
            artefact = await artefacts.fetch(self.bus.js, champion["sha256"])
        except artefacts.ArtefactError as error:
            return f"champion {champion['version']} cannot be loaded ({error}): compared with the constant instead"
        job.write(directory, job.CHAMPION, artefact)
        return None
