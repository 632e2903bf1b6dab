"""Wires the scoring worker. Nothing connects before the application starts."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial

from services.scoring.answers import Answers
from services.scoring.commands import Commands
from services.scoring.handlers import Handlers, utc_now
from services.scoring.metrics import ScoringMetrics
from services.scoring.model import Slot
from services.scoring.outcomes_store import SCHEMA, OutcomesStore
from services.scoring.queries import Queries
from services.scoring.store import Store
from services.scoring.watch import Watch
from shared.artefacts import fetch
from shared.bus import Bus
from shared.contracts.models import ModelPromoted
from shared.database import Database
from shared.delivery import Delivery
from shared.flags import Flags
from shared.generations import FIXES, PREDICTIONS, Generations, every
from shared.outbox import Outbox
from shared.refreshing import Refreshed
from shared.settings import Settings
from shared.telemetry import BusMetrics, new_registry
from shared.worker import Worker

SERVICE = "scoring"
REFRESH_SECONDS = 10.0
WATCH_SECONDS = 60.0

log = logging.getLogger(__name__)


def create_app(settings: Settings) -> Worker:
    registry = new_registry()
    metrics = ScoringMetrics(registry)
    bus_metrics = BusMetrics(registry)
    bus, database = Bus(settings, SERVICE), Database(settings, SERVICE)
    generations = Generations(settings.redis_url)
    store, queries, outbox = Store(database), Queries(database), Outbox(bus, database, SCHEMA, generations)
    slot = Slot(lambda sha256: fetch(bus.js, sha256), metrics.model_faults.inc)
    flags = Flags(bus)
    renewed = partial(generations.moved, [every(PREDICTIONS)])
    answers = Answers(slot, partial(flags.on, "model_scoring"), renewed, metrics)
    handlers = Handlers(store, OutcomesStore(database), answers, outbox, bus, metrics)
    commands = Commands(store, answers, bus, utc_now)
    watch = Watch(queries, bus, metrics, partial(flags.on, "drift_requests"), utc_now)
    delivery = Delivery(bus, database, bus_metrics, registry)
    handlers.register(delivery, commands)
    imports = handlers.imports(delivery, database)
    agent_stats = Refreshed(database, generations, registry, SCHEMA, "agent_stats", [every(FIXES)])

    async def serve_champion() -> None:
        """The present state: a promotion may have been announced while this replica was not listening."""
        row = await queries.champion("confidence")
        if row is not None:
            await answers.serve(ModelPromoted(**dict(row)))

    async def load() -> None:
        await commands.load_thresholds()
        await serve_champion()

    async def refresh() -> None:
        await load()
        await answers.follow_flag()
        await handlers.settle_waiting()

    async def repeat(seconds: float, do: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(seconds)
            try:
                await do()
            except Exception:
                if bus.connected and await database.alive():
                    log.exception("what is done every %.0f s failed; it is tried again", seconds)

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
        background=(
            outbox.relay,
            partial(repeat, REFRESH_SECONDS, refresh),
            partial(repeat, WATCH_SECONDS, watch.look),
            imports.run,
            agent_stats.run,
            flags.follow,
        ),
        stop=outbox.stop,
    )
