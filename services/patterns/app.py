"""Wires the patterns worker. Nothing connects before the application starts."""

from functools import partial

from services.patterns.collaborations import Collaborations
from services.patterns.collaborations_store import CollaborationStore
from services.patterns.handlers import Handlers
from services.patterns.learnings import Learnings
from services.patterns.learnings_store import LearningStore
from services.patterns.metrics import PatternsMetrics
from services.patterns.model import load
from services.patterns.retention_store import rules
from services.patterns.settings import PatternsSettings
from services.patterns.store import SCHEMA, Store
from services.patterns.vectors import speak_vectors
from shared.artefacts import fetch_as
from shared.bus import Bus
from shared.categories.artefact import decode, shipped
from shared.contracts.fixes import FixImported
from shared.contracts.models import ModelPromoted
from shared.database import Database
from shared.delivery import Delivery
from shared.generations import COLLABORATIONS, Generations, every
from shared.outbox import Outbox
from shared.pull import After
from shared.refreshing import Refreshed
from shared.repeat import repeat
from shared.retention import ROUND_SECONDS, Retention
from shared.slot import Slot
from shared.telemetry import BusMetrics, new_registry
from shared.topology import work
from shared.worker import Worker

SERVICE = "patterns"
REFRESH_SECONDS = 10.0


def create_app(settings: PatternsSettings) -> Worker:
    registry = new_registry()
    bus_metrics = BusMetrics(registry)
    bus, database = Bus(settings, SERVICE), Database(settings, SERVICE, speak_vectors, registry)
    generations = Generations(settings.redis_url)
    outbox = Outbox(bus, database, SCHEMA, generations)
    metrics = PatternsMetrics(registry)
    learnings = Learnings(LearningStore(database), outbox, bus)
    collaborations = Collaborations(CollaborationStore(database), learnings, outbox, bus, metrics)
    stats = Refreshed(database, generations, registry, SCHEMA, "collaboration_stats", [every(COLLABORATIONS)])
    retention = Retention(database, generations, registry, SCHEMA, rules(settings))
    store = Store(database)
    begun = load(None, *shipped())
    slot = Slot("category", lambda sha256: fetch_as(decode, bus.js, sha256), load, metrics.model_faults.inc, begun)
    handlers = Handlers(store, slot, learnings, collaborations, outbox, bus, metrics)
    delivery = Delivery(bus, database, bus_metrics, registry)
    handlers.register()
    scored = After(bus, work("scoring", FixImported.SUBJECT), settings.imports_wait_seconds)
    fixes = handlers.fixes(delivery, scored)

    async def serve_champion() -> None:
        """The present state: a promotion may have been announced while this replica was not listening."""
        row = await store.champion()
        if row is not None:
            await slot.serve(ModelPromoted(**dict(row)))

    bus.on_reconnect.append(serve_champion)
    return Worker(
        service=SERVICE,
        settings=settings,
        bus=bus,
        database=database,
        delivery=delivery,
        registry=registry,
        metrics=bus_metrics,
        start=serve_champion,
        background=(
            outbox.relay,
            collaborations.expire,
            collaborations.measure,
            stats.run,
            *(pull.run for pull in fixes),
            partial(repeat, REFRESH_SECONDS, serve_champion, bus, database),
            partial(repeat, ROUND_SECONDS, retention.round, bus, database),
        ),
        pulls=fixes,
        stop=outbox.stop,
    )
