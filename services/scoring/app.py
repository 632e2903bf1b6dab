"""Wires the scoring worker. Nothing connects before the application starts."""

from functools import partial

from services.scoring.answers import Answers
from services.scoring.commands import Commands
from services.scoring.handlers import Handlers, utc_now
from services.scoring.metrics import ScoringMetrics
from services.scoring.model import Model, load
from services.scoring.outcomes_store import SCHEMA, OutcomesStore
from services.scoring.queries import Queries
from services.scoring.retention_store import rules
from services.scoring.settings import ScoringSettings
from services.scoring.store import Store
from services.scoring.watch import Watch
from shared.artefacts import fetch
from shared.bus import Bus
from shared.contracts.models import ModelPromoted
from shared.database import Database
from shared.delivery import Delivery
from shared.flags import Flags
from shared.generations import FIXES, HANDBOOK, PREDICTIONS, Generations, every
from shared.outbox import Outbox
from shared.refreshing import LONG_PAUSE_PER_SECOND, Refreshed
from shared.repeat import repeat
from shared.retention import ROUND_SECONDS, Retention
from shared.slot import Slot
from shared.telemetry import BusMetrics, new_registry
from shared.worker import Worker

SERVICE = "scoring"
REFRESH_SECONDS = 10.0
WATCH_SECONDS = 60.0


def create_app(settings: ScoringSettings) -> Worker:
    registry = new_registry()
    metrics = ScoringMetrics(registry)
    bus_metrics = BusMetrics(registry)
    bus, database = Bus(settings, SERVICE), Database(settings, SERVICE, registry=registry)
    generations = Generations(settings.redis_url)
    store, queries, outbox = Store(database), Queries(database), Outbox(bus, database, SCHEMA, generations)
    slot: Slot[Model | None] = Slot(
        "confidence", lambda sha256: fetch(bus.js, sha256), load, metrics.model_faults.inc, None
    )
    flags = Flags(bus)
    renewed = partial(generations.moved, [every(PREDICTIONS)])
    answers = Answers(slot, partial(flags.on, "model_scoring"), renewed, metrics)
    agent_stats = Refreshed(database, generations, registry, SCHEMA, "agent_stats", [every(FIXES)])
    handbook = Refreshed(
        database, generations, registry, SCHEMA, "handbook_patterns", [every(FIXES)], HANDBOOK, LONG_PAUSE_PER_SECOND
    )
    # Of a category its own service has told everybody else.
    categorized = partial(handbook.moved, [every(FIXES)])
    handlers = Handlers(store, OutcomesStore(database), answers, outbox, bus, metrics, categorized)
    commands = Commands(store, answers, bus, utc_now)
    watch = Watch(queries, bus, metrics, partial(flags.on, "drift_requests"), utc_now)
    delivery = Delivery(bus, database, bus_metrics, registry)
    handlers.register(delivery, commands)
    fixes, imports = handlers.fixes(delivery), handlers.imports(delivery, database)
    retention = Retention(database, generations, registry, SCHEMA, rules(settings))

    async def serve_champion() -> None:
        """The present state: a promotion may have been announced while this replica was not listening."""
        row = await queries.champion("confidence")
        if row is not None:
            await answers.serve(ModelPromoted(**dict(row)))

    async def begin() -> None:
        await commands.load_thresholds()
        await serve_champion()

    async def refresh() -> None:
        await begin()
        await handlers.settle_waiting()

    bus.on_reconnect.append(serve_champion)
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
            partial(repeat, REFRESH_SECONDS, refresh, bus, database),
            partial(repeat, WATCH_SECONDS, watch.look, bus, database),
            partial(repeat, ROUND_SECONDS, retention.round, bus, database),
            imports.run,
            *(pull.run for pull in fixes),
            agent_stats.run,
            handbook.run,
            flags.follow,
        ),
        pulls=[*fixes, imports.pull],
        stop=outbox.stop,
    )
