"""What the routes work with: opened by the application's lifespan, handed to every route."""

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, TypeVar

import msgspec
import nats
from faststream.exceptions import FastStreamException
from nats.aio.msg import Msg
from nats.js.errors import APIError, NoStreamResponseError

from services.gateway.cache import Cache
from services.gateway.claims import Claims
from services.gateway.coalescer import Coalescer
from services.gateway.failures import Failures
from services.gateway.intake import Intake
from services.gateway.keys import Keys
from services.gateway.knowledge_queries import KnowledgeQueries
from services.gateway.limiter import Limiter
from services.gateway.markers import Markers
from services.gateway.metrics import GatewayMetrics
from services.gateway.model_queries import ModelQueries
from services.gateway.policies import read_policies
from services.gateway.predictions import Predictions
from services.gateway.problems import ApiError, as_api_error, bus_silent, bus_unavailable, value_of, worker_silent
from services.gateway.queries import Queries
from services.gateway.readers import Readers
from services.gateway.route_names import RouteNames
from services.gateway.settings import GatewaySettings
from services.gateway.shedding import Shedding
from services.gateway.stats_queries import StatsQueries
from services.gateway.waiters import Waiters
from shared.bus import Bus
from shared.contracts.commands import CONFIDENCE, Reply
from shared.contracts.envelope import Envelope, Event, unseal
from shared.contracts.fixes import FixCategorized, FixScored
from shared.contracts.models import ModelPromoted
from shared.database import Database
from shared.ending import end
from shared.flags import FlagName, Flags, Setting
from shared.generations import Generations, touched_by_command
from shared.otlp_metrics import export_metrics
from shared.telemetry import BusMetrics, new_registry, trace_headers, watch_loop
from shared.worker import until

SERVICE = "gateway"
KEYS_CHANGED = "keys.changed.v1"
REQUEST_SECONDS = 5.0
# JetStream's own codes for a stream that takes no more (`discard: new`) and a disk that does not either.
FULL = frozenset({10047, 10077, 10122})

T = TypeVar("T")
# Of a type that is no class, msgspec makes a new decoder for every message.
decode_replies = msgspec.json.Decoder(list[Reply]).decode
log = logging.getLogger(__name__)


class Runtime:
    def __init__(self, settings: GatewaySettings, routes: Sequence[str]) -> None:
        """`routes` by their names, for the tables that speak of them."""
        self.settings = settings
        self.names = RouteNames(routes)
        # The way in, once it is wired: the reads of a batch take it again.
        self.edge: Any = None
        self.registry = new_registry()
        self.metrics = GatewayMetrics(self.registry)
        self.bus_metrics = BusMetrics(self.registry)
        self.bus = Bus(settings, SERVICE)
        self.flags = Flags(self.bus)
        self.generations = Generations(settings.redis_url)
        self.database = Database(settings, SERVICE, registry=self.registry)
        self.queries = Queries(self.database)
        self.knowledge = KnowledgeQueries(self.database)
        self.model_reads = ModelQueries(self.database)
        self.stats = StatsQueries(self.database)
        self.keys = Keys(self.queries.principal)
        self.markers = Markers(settings.redis_url)
        self.claims = Claims(settings.redis_url)
        self.policies = read_policies(settings.policies, routes)
        self.limiter = Limiter(
            settings.redis_url, self.policies, settings.replicas, time.monotonic, self.metrics.decisions.count
        )
        self.readers = Readers(self.bus, self.registry, self.keys.authenticate)
        self.failures = Failures(self.limiter, time.monotonic)
        self.shedding = Shedding(
            settings.shed_lag_seconds,
            settings.shed_publishes,
            lambda: self.flags.on("shedding"),
            lambda route: self.metrics.shed.labels(route).inc(),
        )
        self.cache = Cache(settings.redis_url, self.metrics.cached.count)
        self.predictions = Predictions(
            settings.redis_url, self._score, self.generations, self.flags, self.metrics.cached.count
        )
        self.waiters = Waiters()
        self.intake = Intake(self.queries, self.markers, self.waiters, self.publish)
        # What is published while others are on their way to the disk is synced together.
        self._log: Coalescer[Envelope, None] = Coalescer(self._into_log, lambda envelope: len(envelope.payload))
        self.draining = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._register()

    def _register(self) -> None:
        """Everything the gateway hears."""
        self.bus.hear_at_once(FixScored.SUBJECT)(self._scored)
        self.bus.hear_at_once(FixCategorized.SUBJECT)(self._categorized)
        self.bus.hear_all(ModelPromoted.SUBJECT)(self._promoted)
        self.bus.hear_all(KEYS_CHANGED)(self._keys_changed)
        self.bus.on_reconnect.append(self._ask_champion)

    def _scored(self, message: Msg) -> None:
        event = unseal(FixScored, message.data)
        self.waiters.heard(event.id, "scored", final=event.status == "rejected")

    def _categorized(self, message: Msg) -> None:
        self.waiters.heard(unseal(FixCategorized, message.data).id, "categorized")

    async def _promoted(self, message: Msg) -> None:
        event = unseal(ModelPromoted, message.data)
        if event.kind == "confidence":
            self.predictions.champion = event.version

    async def _ask_champion(self) -> None:
        """A promotion may have been announced while this gateway was not listening."""
        self.predictions.champion = await self.queries.champion("confidence")

    async def _score(self, candidates: Sequence[bytes]) -> list[Reply]:
        """The replies to encoded candidates, in their order."""
        return decode_replies(await self.ask(CONFIDENCE, b"[" + b",".join(candidates) + b"]"))

    async def _keys_changed(self, _: Msg) -> None:
        self.keys.forget()

    async def open(self) -> None:
        await self.database.open()
        self._spawn(self._connect())
        self._spawn(watch_loop(self.bus_metrics.loop_lag, self.shedding.woke))
        if self.settings.otlp_endpoint:
            self._spawn(export_metrics(self.registry, SERVICE, self.settings.otlp_endpoint))

    def _spawn(self, run: Any) -> None:
        self._tasks.append(asyncio.create_task(run))

    async def _connect(self) -> None:
        await until("NATS", self.bus.open)
        await self.bus.start()
        self._spawn(self.flags.follow())
        self._spawn(self.generations.keep())
        self._spawn(self._read_events())
        self._spawn(until("the champion", self._ask_champion))
        log.info("gateway is ready")

    async def _read_events(self) -> None:
        """Repeated until NATS answers, which it may stop to do between any two questions."""
        await until("the streams of events", self.readers.run)

    def drain(self) -> None:
        """Whoever waits is answered now: what has open connections would keep the process from its end."""
        self.draining.set()
        self.waiters.close()
        self.readers.let_go("draining")

    async def close(self) -> None:
        await end(self._tasks)
        with suppress(FastStreamException, nats.errors.Error, OSError):
            await self.bus.stop()
        await self.limiter.close()
        await self.markers.close()
        for store in (self.claims, self.generations, self.cache, self.predictions):
            await store.close()
        await self.database.close()

    async def publish(self, event: Event) -> None:
        """Returns once the event is on disk; raises `ApiError` 503 when it is not."""
        await self.send(self.bus.seal(event))

    async def send(self, envelope: Envelope) -> None:
        if not self.bus.connected:
            raise bus_unavailable()
        self.shedding.publishing += 1
        try:
            await self._log.ask(envelope)
        finally:
            self.shedding.publishing -= 1

    async def publish_all(self, events: Sequence[Event]) -> list[ApiError | None]:
        """What became of each, in order; None once it is on disk."""
        self.shedding.publishing += len(events)
        try:
            return await self._into_log([self.bus.seal(event) for event in events])
        finally:
            self.shedding.publishing -= len(events)

    async def _into_log(self, envelopes: Sequence[Envelope]) -> list[ApiError | None]:
        if not self.bus.connected:
            return [bus_unavailable()] * len(envelopes)
        return [None if error is None else not_taken(error) for error in await self.bus.send_all(envelopes)]

    async def set_flag(self, name: FlagName, setting: Setting) -> None:
        """Returns once the setting is on disk; raises `ApiError` 503 when it is not."""
        if not self.bus.connected:
            raise bus_unavailable()
        try:
            await self.flags.set(name, setting)
        except (nats.errors.Error, OSError) as error:
            raise bus_unavailable() from error

    async def ask(self, subject: str, payload: bytes) -> bytes:
        """One replica of the service answers; raises `ApiError` 503 when none is there."""
        if not self.bus.connected:
            raise bus_unavailable()
        try:
            reply = await self.bus.nc.request(
                subject, payload, timeout=REQUEST_SECONDS, headers=trace_headers() or None
            )
        except nats.errors.NoRespondersError as error:
            service = subject.split(".")[0]
            raise ApiError(
                503, f"{service}_unavailable", f"no {service} worker is there to answer; try again"
            ) from error
        except nats.errors.TimeoutError as error:
            raise worker_silent(subject.split(".")[0], REQUEST_SECONDS) from error
        except (nats.errors.Error, OSError) as error:
            raise bus_silent() from error
        return reply.data

    async def command(self, subject: str, body: msgspec.Struct, cls: type[T]) -> T:
        """Raises the `ApiError` that the service's problem says. What the command changed is read anew from here on."""
        reply = msgspec.json.decode(await self.ask(subject, msgspec.json.encode(body)), type=Reply)
        await self.generations.moved(touched_by_command(subject, body))
        return opened(reply, cls)

    async def commands(self, subject: str, bodies: Sequence[msgspec.Struct]) -> list[Reply]:
        return decode_replies(await self.ask(subject, msgspec.json.encode(bodies)))

    async def checks(self) -> dict[str, str]:
        """What readiness says: `ok` or `away` for each store."""
        nats, postgres, redis = await asyncio.gather(self.bus.alive(), self.database.alive(), self.markers.alive())
        states = {"nats": nats, "postgres": postgres, "redis": redis}
        return {name: "ok" if up else "away" for name, up in states.items()}


def not_taken(error: BaseException) -> ApiError:
    if isinstance(error, asyncio.CancelledError):
        return ApiError(503, "stopping", "this gateway is stopping; send the line again")
    if isinstance(error, APIError) and error.err_code in FULL:
        return ApiError(503, "log_full", "the log takes no more; try later")
    if isinstance(error, nats.errors.NoRespondersError | NoStreamResponseError | APIError):
        return bus_unavailable()
    if isinstance(error, nats.errors.Error | OSError):
        return bus_silent()
    return as_api_error(error)  # type: ignore[arg-type]


def opened(reply: Reply, cls: type[T]) -> T:
    return msgspec.json.decode(value_of(reply), type=cls)
