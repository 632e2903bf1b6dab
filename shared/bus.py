"""The connection to NATS: what a service hears, answers and says; publishing waits for the disk."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any

import nats
from faststream import AckPolicy
from faststream.nats import JStream, NatsBroker, NatsMessage, PullSub
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js import JetStreamContext

from shared.batches import FEWEST_MESSAGES, batches, publish_batch
from shared.contracts.envelope import Envelope, Event, seal
from shared.errors import words_of
from shared.nats_client import NatsClient
from shared.settings import Settings
from shared.telemetry import trace_headers
from shared.topology import MAX_PAYLOAD_BYTES, work

# A publish in flight when NATS dies gets no early error; the same Nats-Msg-Id makes a retry harmless.
PUBLISH_SECONDS = 2.0
PUBLISH_ATTEMPTS = 3
CONNECT_SECONDS = 3.0
# A server that is gone without a word is found out by the second ping that stays without an answer.
PING_SECONDS = 5
# So long readiness waits for an answer.
ALIVE_SECONDS = 1.0
BATCH_SIZE = 64
# Short timeouts are worse than long ones: a message that meets the gap between two pulls waits. See PullSub.
PULL_SECONDS = 5.0
# Questions that are being answered; a gateway asks few at a time, and waits for the answers.
MOST_ANSWERING = 1000

Answer = Callable[[Msg], Awaitable[bytes]]
Hear = Callable[[Msg], Awaitable[None]]
Take = Callable[[Msg], None]

log = logging.getLogger(__name__)
# FastStream's own logger brings its own handler and format.
framework_log = logging.getLogger("precedent.faststream")
framework_log.setLevel(logging.WARNING)
# nats-py ends a pull that met a stalled event loop with a bare TimeoutError; the next pull follows by itself.
framework_log.addFilter(lambda record: not (record.exc_info and record.exc_info[0] is TimeoutError))


async def raw(message: NatsMessage) -> Msg:
    """The decoder of every subscriber: handlers get NATS's own message and decode it once, with msgspec."""
    decoded: Msg = message.raw_message
    return decoded


class Bus:
    """What a service hears and says. `nc` and `js` are valid once opened.

    `broker` takes the work that comes seldom, over a connection of its own: what the framework does around a handler
    takes longer than most handlers of what comes often.
    """

    nc: NatsClient
    js: JetStreamContext

    def __init__(self, settings: Settings, service: str) -> None:
        self.service = service
        self.on_reconnect: list[Callable[[], Awaitable[None]]] = []
        # What is answered, and what every replica hears, by subject.
        self.answers: dict[str, Answer] = {}
        self.heard_by_all: dict[str, Hear] = {}
        self.heard_at_once: dict[str, Take] = {}
        self._subscriptions: list[Subscription] = []
        self._answering: set[asyncio.Task[None]] = set()
        self._url, self._drain_seconds = settings.nats_url, settings.drain_seconds
        self.connection: dict[str, Any] = {
            "name": f"precedent-{service}",
            "allow_reconnect": True,
            # Anything else closes the client after a minute's outage, and FastStream then spins for ever.
            "max_reconnect_attempts": -1,
            "reconnect_time_wait": 1,
            "ping_interval": PING_SECONDS,
            "max_outstanding_pings": 2,
        }
        self.broker = NatsBroker(
            settings.nats_url,
            **self.connection,
            graceful_timeout=settings.drain_seconds,
            decoder=raw,
            apply_types=False,
            logger=framework_log,
            log_level=logging.DEBUG,
        )

    async def _reconnected(self) -> None:
        log.info("NATS is back")
        for callback in self.on_reconnect:
            try:
                await callback()
            except Exception:
                log.exception("catching up after the outage failed")

    async def open(self) -> None:
        """Raises while NATS is away, or when it would refuse our largest message."""
        try:
            # Without a limit the client would try for ever, and nobody would hear of it.
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._connect()
        except TimeoutError:
            raise ConnectionError("no server answers") from None
        self.js = self.nc.jetstream()
        if self.nc.max_payload < MAX_PAYLOAD_BYTES:
            raise RuntimeError(f"NATS allows {self.nc.max_payload} bytes a message; set max_payload to 8MB")
        await self.js.stream_info("FIXES")

    async def _connect(self) -> None:
        if not hasattr(self, "nc"):
            client = NatsClient()
            # All subjects are ours, or a server's.
            await client.connect(
                self._url,
                **self.connection,
                skip_subject_validation=True,
                reconnected_cb=self._reconnected,
                error_cb=told,
            )
            self.nc = client
        if self.broker.subscribers:
            await self.broker.connect()

    async def start(self) -> None:
        """Hears and answers from here on."""
        if self.broker.subscribers:
            await self.broker.start()
        for subject, answer in self.answers.items():
            take = partial(self._answer, answer)
            self._subscriptions.append(await self.nc.hear(subject, self.service, take))
        for subject, hear in self.heard_by_all.items():
            self._subscriptions.append(await self.nc.subscribe(subject, cb=hearing(hear)))
        for subject, taken in self.heard_at_once.items():
            self._subscriptions.append(await self.nc.hear(subject, "", taking(taken)))
        # Whoever says that it is ready is known to the server. After an outage the server is told anew.
        with suppress(nats.errors.Error, TimeoutError):
            await self.nc.flush()

    def _answer(self, answer: Answer, message: Msg) -> None:
        if len(self._answering) == MOST_ANSWERING:
            log.error("%s was not answered: %d others are waiting", message.subject, MOST_ANSWERING)
            return
        task = asyncio.create_task(answered(answer, message))
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def stop(self) -> None:
        """Requests and messages in hand are finished first."""
        for subscription in self._subscriptions:
            with suppress(nats.errors.Error, OSError):
                await subscription.drain()  # type: ignore[no-untyped-call]
        if self._answering:
            await asyncio.wait(set(self._answering), timeout=self._drain_seconds)
        await self.broker.stop()
        if self.connected:
            with suppress(nats.errors.Error, OSError):
                await self.nc.flush()
        if hasattr(self, "nc"):
            await self.nc.close()

    @property
    def connected(self) -> bool:
        return hasattr(self, "nc") and self.nc.is_connected

    async def alive(self) -> bool:
        """Whether NATS answers now; `connected` is what was found last, and a server that hangs closes nothing."""
        if not self.connected:
            return False
        try:
            await self.nc.request("$JS.API.INFO", timeout=ALIVE_SECONDS)
        except (nats.errors.Error, OSError, TimeoutError):
            return False
        return True

    def seal(self, event: Event, trace: dict[str, str] | None = None) -> Envelope:
        """`trace` is the `traceparent` of what caused the event, where that is not the current span."""
        carried = trace_headers() if trace is None else trace
        return seal(event, source=self.service, now=datetime.now(UTC), trace=carried)

    async def publish(self, event: Event) -> None:
        await self.send(self.seal(event))

    async def send(self, envelope: Envelope) -> None:
        """Returns when JetStream has the message on disk. Raises the last error after `PUBLISH_ATTEMPTS`."""
        for attempt in range(1, PUBLISH_ATTEMPTS + 1):
            try:
                await self.js.publish(
                    envelope.subject, envelope.payload, timeout=PUBLISH_SECONDS, headers=dict(envelope.headers)
                )
                return
            except (nats.errors.TimeoutError, nats.errors.NoRespondersError, nats.js.errors.NoStreamResponseError):
                if attempt == PUBLISH_ATTEMPTS:
                    raise

    async def send_all(self, envelopes: Sequence[Envelope]) -> list[BaseException | None]:
        """As `send` of each, in order; what came of it, None for what is on disk. Many are synced together."""
        found: list[BaseException | None] = []
        for batch in batches(envelopes):
            together = [publish_batch(self.nc, batch)] if len(batch) >= FEWEST_MESSAGES else []
            if await asyncio.gather(*together, return_exceptions=True) == [True]:
                found += [None] * len(batch)
            else:
                found += await asyncio.gather(*(self.send(e) for e in batch), return_exceptions=True)
        return found

    def hear_work(self, subject: str) -> Any:
        """Decorator: this handler takes its share of the durable consumer's messages, one call a message."""
        item = work(self.service, subject)
        return self.broker.subscriber(
            subject,
            durable=item.durable,
            stream=JStream(item.stream, declare=False),
            pull_sub=PullSub(batch_size=BATCH_SIZE, timeout=PULL_SECONDS),
            ack_policy=AckPolicy.NACK_ON_ERROR,
            no_reply=True,
        )

    def hear_all(self, subject: str) -> Callable[[Hear], Hear]:
        """Decorator: every replica hears this, at most once; read the present state at start and reconnect."""

        def take(hear: Hear) -> Hear:
            self.heard_by_all[subject] = hear
            return hear

        return take

    def hear_at_once(self, subject: str) -> Callable[[Take], Take]:
        """Decorator: as `hear_all`, for what comes with every fix and needs no waiting."""

        def take(taken: Take) -> Take:
            self.heard_at_once[subject] = taken
            return taken

        return take

    def answer(self, subject: str) -> Callable[[Answer], Answer]:
        """Decorator: one replica of the service answers this request."""

        def take(answer: Answer) -> Answer:
            self.answers[subject] = answer
            return answer

        return take


async def told(error: Exception) -> None:
    """The library's own way is a stack trace for each try to connect again."""
    log.warning("NATS: %s", words_of(error))


async def answered(answer: Answer, message: Msg) -> None:
    try:
        await message.respond(await answer(message))
    except Exception:
        # Whoever asked hears nothing, and says after its own while that nobody answers.
        log.exception("%s was not answered", message.subject)


def hearing(hear: Hear) -> Callable[[Msg], Awaitable[None]]:
    """Without an answer, whoever published: it would reach the inbox where JetStream's acknowledgement is awaited."""

    async def heard(message: Msg) -> None:
        try:
            await hear(message)
        except Exception:
            log.exception("%s was heard, and nothing came of it", message.subject)

    return heard


def taking(take: Take) -> Take:
    """What goes wrong with one message is no matter of the connection, which would end with it."""

    def taken(message: Msg) -> None:
        try:
            take(message)
        except Exception:
            log.exception("%s was heard, and nothing came of it", message.subject)

    return taken
