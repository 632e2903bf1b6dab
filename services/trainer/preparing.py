"""What a run of each kind of model needs: its rows, the models it is compared with, and the job, in one directory."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version as installed
from pathlib import Path
from typing import Protocol

from asyncpg import Record

from services.trainer import category_rows, dataset, default, job, store
from services.trainer.job import Job
from services.trainer.process import StoppedError
from services.trainer.registry import Registry
from shared import artefacts
from shared.bus import Bus
from shared.categories import artefact as categories
from shared.categories.model import FEATURE_SET
from shared.contracts.models import ModelKind
from shared.database import Connection

SEED = 20_240_229  # any: the same seed and data give the same bytes
FIT_THREADS = 2
# How an artefact of each kind is checked and read.
READERS: Mapping[ModelKind, artefacts.Read[object]] = {"confidence": artefacts.decode, "category": categories.decode}


class Preparation(Protocol):
    @property
    def feature_set(self) -> str: ...

    async def __call__(self, connection: Connection, directory: Path) -> str | None:
        """The version of the champion, which the new model is compared with. Raises `StoppedError`."""
        ...

    async def installed(self, connection: Connection, compared: str | None) -> str | None:
        """The same, once there is a model: where none was champion, the one that ships may have become it."""
        ...


@dataclass(frozen=True)
class OfConfidence:
    bus: Bus
    features: tuple[str, ...]
    feature_set: str
    stop: asyncio.Event
    # Whether models of the deployment's own are fitted on top of the one that ships.
    based: bool

    async def __call__(self, connection: Connection, directory: Path) -> str | None:
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

    async def installed(self, connection: Connection, compared: str | None) -> str | None:
        return compared

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


@dataclass(frozen=True)
class OfCategory:
    """The model that ships is registered beside the first of the deployment's own, so that it can be put back."""

    bus: Bus
    registry: Registry
    stop: asyncio.Event
    feature_set: str = FEATURE_SET

    async def __call__(self, connection: Connection, directory: Path) -> str | None:
        await self._lay_rows(connection, directory)
        champion = await self._champion(connection)
        note = await self._lay_champion(champion, directory) if champion else None
        sha256, shipped = default.category()
        (directory / job.BASE).write_bytes(shipped)
        task = Job(
            kind="category",
            feature_set=self.feature_set,
            seed=SEED,
            threads=FIT_THREADS,
            code_version=installed("precedent"),
            champion=champion["version"] if champion and note is None else None,
            based_on=sha256,
            notes=(note,) if note else (),
        )
        job.write(directory, job.JOB, task)
        return champion["version"] if champion else None

    async def installed(self, connection: Connection, compared: str | None) -> str | None:
        if compared is not None:
            return compared
        await artefacts.store(self.bus.js, *default.category())
        return await self.registry.install_category(connection, default.about_category(), self.feature_set)

    async def _champion(self, connection: Connection) -> Record | None:
        """None when it reads changes otherwise than this version: then the one that ships answers."""
        champion = await store.champion(connection, "category")
        return champion if champion and champion["feature_set"] == self.feature_set else None

    async def _lay_rows(self, connection: Connection, directory: Path) -> None:
        number = 0
        async for rows in store.told_categories(connection):
            if self.stop.is_set():
                raise StoppedError
            await asyncio.to_thread(category_rows.write_chunk, directory, number, rows)
            number += 1

    async def _lay_champion(self, champion: Record, directory: Path) -> str | None:
        try:
            model = await artefacts.fetch_as(categories.decode, self.bus.js, champion["sha256"])
        except artefacts.ArtefactError as error:
            return f"champion {champion['version']} cannot be loaded ({error}): compared with the one that ships"
        (directory / job.CHAMPION).write_bytes(categories.encode(model)[1])
        return None
