"""Wires the scoring worker. Nothing connects before the application starts."""

import asyncio
import logging

from services.scoring.answers import Answers
from services.scoring.commands import Commands
from services.scoring.handlers import Handlers, utc_now
from services.scoring.metrics import ScoringMetrics
from services.scoring.model import Slot
from services.scoring.store import SCHEMA, Store
from shared.artefacts import fetch
from shared.bus import Bus
from shared.contracts.models import ModelPromoted
from shared.database import Database
from shared.delivery import Delivery
from shared.flags import Flags
from shared.generations import PREDICTIONS, Generations, every
from shared.outbox import Outbox
from shared.settings import Settings
from shared.telemetry import BusMetrics, new_registry
from shared.worker import Worker

SERVICE = "scoring"
REFRESH_SECONDS = 10.0

log = logging.getLogger(__name__)


def create_app(settings: Settings) -> Worker:
    registry = new_registry()
    metrics = ScoringMetrics(registry)
    bus_metrics = BusMetrics(registry)
    bus, database = Bus(settings, SERVICE), Database(settings, SERVICE)
    generations = Generations(settings.redis_url)
    store, outbox = Store(database), Outbox(bus, database, SCHEMA, generations)
    slot = Slot(lambda sha256: fetch(bus.js, sha256), metrics.model_faults.inc)
    flags = Flags(bus)
    answers = Answers(slot, lambda: flags.on("model_scoring"), lambda: generations.moved([every(PREDICTIONS)]), metrics)
    handlers = Handlers(store, answers, outbox, bus, metrics)
    commands = Commands(store, answers, bus, utc_now)
    delivery = Delivery(bus, database, bus_metrics, registry)
    handlers.register(delivery, commands)
    imports = handlers.imports(delivery, database)

    async def serve_champion() -> None:
        """The present state: a promotion may have been announced while this replica was not listening."""
        row = await store.champion("confidence")
        if row is not None:
            await answers.serve(ModelPromoted(**dict(row)))

    async def load() -> None:
        await commands.load_thresholds()
        await serve_champion()

    async def refresh() -> None:
        while True:
            await asyncio.sleep(REFRESH_SECONDS)
            try:
                await load()
                await answers.follow_flag()
                await handlers.settle_waiting()
            except Exception:
                if bus.connected and await database.alive():
                    log.exception("the refresh failed; it tries again")

    bus.on_reconnect.append(serve_champion)
    return Worker(
        service=SERVICE,
        settings=settings,
        bus=bus,
        database=database,
        delivery=delivery,
        registry=registry,
        metrics=bus_metrics,
        start=load,
        background=(outbox.relay, refresh, imports.run, flags.follow),
        stop=outbox.stop,
    )
