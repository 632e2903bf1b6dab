"""Wires the patterns worker. Nothing connects before the application starts."""

from services.patterns.categories import shipped
from services.patterns.collaborations import Collaborations
from services.patterns.collaborations_store import CollaborationStore
from services.patterns.handlers import Handlers
from services.patterns.learnings import Learnings
from services.patterns.learnings_store import LearningStore
from services.patterns.metrics import PatternsMetrics
from services.patterns.store import SCHEMA, Store
from services.patterns.vectors import speak_vectors
from shared.bus import Bus
from shared.database import Database
from shared.delivery import Delivery
from shared.generations import COLLABORATIONS, Generations, every
from shared.outbox import Outbox
from shared.refreshing import Refreshed
from shared.settings import Settings
from shared.telemetry import BusMetrics, new_registry
from shared.worker import Worker

SERVICE = "patterns"


def create_app(settings: Settings) -> Worker:
    registry = new_registry()
    bus_metrics = BusMetrics(registry)
    bus, database = Bus(settings, SERVICE), Database(settings, SERVICE, speak_vectors)
    generations = Generations(settings.redis_url)
    outbox = Outbox(bus, database, SCHEMA, generations)
    metrics = PatternsMetrics(registry)
    learnings = Learnings(LearningStore(database), outbox, bus)
    collaborations = Collaborations(CollaborationStore(database), learnings, outbox, bus, metrics)
    handlers = Handlers(Store(database), learnings, collaborations, outbox, bus, metrics)
    stats = Refreshed(database, generations, registry, SCHEMA, "collaboration_stats", [every(COLLABORATIONS)])
    delivery = Delivery(bus, database, bus_metrics, registry)
    handlers.register(delivery)

    async def load() -> None:
        """The shipped category numbers are read once, before the first message."""
        shipped()

    return Worker(
        service=SERVICE,
        settings=settings,
        bus=bus,
        database=database,
        delivery=delivery,
        registry=registry,
        metrics=bus_metrics,
        start=load,
        background=(outbox.relay, collaborations.expire, collaborations.measure, stats.run),
        stop=outbox.stop,
    )
