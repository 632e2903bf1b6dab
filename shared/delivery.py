"""What happens to a message around its handler: hold, retry, give up, and say so.

Every JetStream handler goes through `Delivery.of`; it lets nothing but FastStream's own two verdicts out,
because any other exception would be redelivered at once, and burn every try in milliseconds.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar
from uuid import UUID

import asyncpg
import msgspec
import nats
from faststream.exceptions import NackMessage, RejectMessage
from nats.aio.msg import Msg
from prometheus_client import CollectorRegistry, Counter

from shared.batches import HEADERS
from shared.bus import Bus
from shared.contracts.envelope import Envelope, Event, unseal
from shared.database import Database
from shared.errors import PermanentError, words_of
from shared.ids import derived_id
from shared.nats_client import delivered_as
from shared.telemetry import BusMetrics, span
from shared.topology import ACK_WAIT_SECONDS

TRIES = 6
# Deliveries without a verdict: the worker dies on this message each time.
CRASH_LOOP = 50
MAX_DELAY_SECONDS = 30.0
HOLD_SECONDS = 0.5
SAY_EVERY_SECONDS = 10.0
# Cut off while the stores answer: an outage that was over before anybody asked, but hardly so many in a row.
MOST_CUTS = 10

# What no repetition mends. Postgres says DataError of values that it cannot hold, such as NUL in a text.
PERMANENT = (msgspec.MsgspecError, PermanentError, asyncpg.DataError)
# What says nothing of the message, only of the connection on which it was worked on.
CUT_OFF = (
    ConnectionError,
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    nats.errors.ConnectionClosedError,
    nats.errors.StaleConnectionError,
)

E = TypeVar("E", bound=Event)
Handler = Callable[[E, Msg], Awaitable[None]]
OnDead = Callable[[Msg, str], Awaitable[None]]

log = logging.getLogger(__name__)


def delay_seconds(delivered: int) -> float:
    """0.4, 0.8, 1.6 … 30 s."""
    return float(min(0.2 * 2**delivered, MAX_DELAY_SECONDS))


def cut_off(error: Exception) -> bool:
    """asyncpg tells of a connection that has gone in the class of what it is asked for in the wrong way, too."""
    return isinstance(error, CUT_OFF) or (isinstance(error, asyncpg.InterfaceError) and "is closed" in str(error))


class Delivery:
    def __init__(self, bus: Bus, database: Database, metrics: BusMetrics, registry: CollectorRegistry) -> None:
        self._bus = bus
        self._database = database
        self._metrics = metrics
        self._dead_letters = Counter("dead_letters", "Messages given up.", ("service", "subject"), registry=registry)
        self._in_hand: dict[int, Msg] = {}
        # When it was last said that a subject's messages wait.
        self._said: dict[str, float] = {}
        self.draining = asyncio.Event()

    def of(self, cls: type[E], handle: Handler[E], on_dead: OnDead | None = None) -> Callable[[Msg], Awaitable[None]]:
        """Wraps `handle`. `on_dead(message, reason)` runs before the message is put into DEAD."""

        async def delivered(message: Msg) -> None:
            started = time.perf_counter()
            result = "error"
            self._in_hand[id(message)] = message
            try:
                with span(f"process {message.subject}", message.headers, **{"messaging.system": "nats"}):
                    result = await self._decide(message, cls, handle, on_dead)
            except NackMessage:
                result = "retry"
                raise
            except RejectMessage:
                result = "dead"
                raise
            finally:
                del self._in_hand[id(message)]
                self._metrics.handled.labels(message.subject, result).observe(time.perf_counter() - started)

        return delivered

    async def keep(self) -> None:
        """Runs until cancelled: a message that takes long is not given to another replica meanwhile."""
        while True:
            await asyncio.sleep(ACK_WAIT_SECONDS / 3)
            for message in list(self._in_hand.values()):
                with suppress(nats.errors.Error):
                    await message.in_progress()

    async def _decide(self, message: Msg, cls: type[E], handle: Handler[E], on_dead: OnDead | None) -> str:
        tries = delivered_as(message).tries
        try:
            if tries > CRASH_LOOP:
                raise PermanentError(f"delivered {tries} times without a verdict: the worker dies on it")
            await self._held(message, handle, unseal(cls, message.data))
        except PERMANENT as error:
            await self._bury(message, str(error), on_dead)
        except NackMessage:
            raise
        except Exception as error:
            log.exception("%s failed, try %d of %d", message.subject, tries, TRIES)
            if tries >= TRIES:
                await self._bury(message, f"{type(error).__name__}: {error}", on_dead)
            raise NackMessage(delay=delay_seconds(tries)) from error
        return "ok"

    async def _held(self, message: Msg, handle: Handler[E], event: E) -> None:
        """Tries until it succeeds or fails for a reason of its own: an outage of a store is waited out, not counted."""
        cuts = 0
        while True:
            try:
                return await handle(event, message)
            except PERMANENT:
                raise
            except Exception as error:
                if await self._stores_up():
                    cuts += 1
                    if cuts > MOST_CUTS or not cut_off(error):
                        raise
                reason = words_of(error)
            await self._wait_for_stores(message.subject, reason)

    async def _stores_up(self) -> bool:
        return self._bus.connected and await self._database.alive()

    async def _wait_for_stores(self, subject: str, reason: str) -> None:
        """At least once, since they have just failed."""
        while True:
            self._say_that_it_waits(subject, reason)
            if self.draining.is_set():
                raise NackMessage(delay=0)
            await asyncio.sleep(HOLD_SECONDS)
            if await self._stores_up():
                return

    def _say_that_it_waits(self, subject: str, reason: str) -> None:
        """Once for all of its messages, of which many may be in hand, and again every few seconds."""
        now = time.monotonic()
        if now - self._said.get(subject, -SAY_EVERY_SECONDS) >= SAY_EVERY_SECONDS:
            self._said[subject] = now
            log.warning("%s waits: Postgres or NATS is away (%s)", subject, reason)

    async def _bury(self, message: Msg, reason: str, on_dead: OnDead | None) -> None:
        """Copies the message to DEAD and only then lets go of it."""
        log.error("%s gives up: %s", message.subject, reason)
        try:
            if on_dead is not None:
                await on_dead(message, reason)
            await self._bus.send(dead_letter(self._bus.service, message, reason))
        except Exception as error:
            raise NackMessage(delay=MAX_DELAY_SECONDS) from error
        self._dead_letters.labels(self._bus.service, message.subject).inc()
        raise RejectMessage


def event_id_of(message: Msg) -> UUID:
    """`ce-id`, or for a publisher that sets none the place in the stream, which no other message has."""
    try:
        return UUID((message.headers or {}).get("ce-id", ""))
    except ValueError:
        metadata = message.metadata
        return derived_id(metadata.stream, str(metadata.sequence.stream), message.subject)


def subject_of(message: Msg) -> UUID | None:
    """`ce-subject`, the entity that the message speaks of: readable where the payload is not."""
    try:
        return UUID((message.headers or {}).get("ce-subject", ""))
    except ValueError:
        return None


def dead_letter(service: str, message: Msg, reason: str) -> Envelope:
    headers = {name: value for name, value in (message.headers or {}).items() if name not in HEADERS}
    place = f"{message.metadata.stream}-{message.metadata.sequence.stream}"
    cause = headers.get("ce-id") or place
    headers |= {
        # A replay is the same event at another place, and may fail in its turn.
        "Nats-Msg-Id": f"{service}-{place}",
        # A header is one line of ASCII.
        "precedent-reason": " ".join(reason.split())[:500].encode("ascii", "replace").decode(),
        "precedent-subject": message.subject,
    }
    return Envelope(
        subject=f"dead.{service}.{message.subject}",
        event_id=derived_id("dead", service, cause),
        headers=headers,
        payload=message.data,
    )
