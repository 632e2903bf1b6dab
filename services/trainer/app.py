"""Wires the trainer. Nothing connects before the application starts."""

import asyncio
import logging
from functools import partial

from services.trainer.handlers import Handlers
from services.trainer.metrics import TrainerMetrics
from services.trainer.preparing import OfCategory, OfConfidence, Preparation
from services.trainer.registry import Registry
from services.trainer.retention_store import rules
from services.trainer.settings import TrainerSettings
from services.trainer.store import SCHEMA, Store
from services.trainer.training import Trainer
from shared.bus import Bus
from shared.contracts.models import ModelKind
from shared.database import Database
from shared.delivery import Delivery
from shared.features.vector import FEATURE_SET, FEATURES
from shared.flags import Flags
from shared.generations import Generations
from shared.outbox import Outbox
from shared.repeat import repeat
from shared.retention import ROUND_SECONDS, Retention
from shared.telemetry import BusMetrics, new_registry
from shared.worker import Worker

SERVICE = "trainer"
REFRESH_SECONDS = 60.0

log = logging.getLogger(__name__)


def create_app(settings: TrainerSettings) -> Worker:
    registry = new_registry()
    metrics, bus_metrics = TrainerMetrics(registry), BusMetrics(registry)
    bus, database = Bus(settings, SERVICE), Database(settings, SERVICE, registry=registry)
    generations = Generations(settings.redis_url)
    store, outbox = Store(database), Outbox(bus, database, SCHEMA, generations)
    retention = Retention(database, generations, registry, SCHEMA, rules(settings))
    models = Registry(bus, outbox)
    delivery = Delivery(bus, database, bus_metrics, registry)
    flags = Flags(bus)
    based = settings.default_model == "on"
    stop = delivery.draining
    preparations: dict[ModelKind, Preparation] = {
        "confidence": OfConfidence(bus, FEATURES, FEATURE_SET, stop, based),
        "category": OfCategory(bus, models, stop),
    }
    trainer = Trainer(store, models, bus, metrics, preparations, stop, flags)
    Handlers(trainer, models, store, bus).register(delivery)

    async def show_champions() -> None:
        """Another replica may have promoted: the registry knows. Raises until the tables are there."""
        for kind, ece in await store.calibration_errors():
            metrics.calibration_error.labels(kind).set(ece)

    async def begin() -> None:
        """Also when scoring could serve no champion: a model of its own may be of an earlier version's features."""
        if based:
            await trainer.install_default()
        await show_champions()

    async def refresh() -> None:
        while True:
            await asyncio.sleep(REFRESH_SECONDS)
            try:
                await show_champions()
            except Exception:
                if await database.alive():
                    log.exception("the champions could not be read; it tries again")

    return Worker(
        service=SERVICE,
        settings=settings,
        bus=bus,
        database=database,
        delivery=delivery,
        registry=registry,
        metrics=bus_metrics,
        start=begin,
        background=(
            outbox.relay,
            refresh,
            flags.follow,
            partial(repeat, ROUND_SECONDS, retention.round, bus, database),
        ),
        stop=outbox.stop,
    )
