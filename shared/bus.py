"""The connection to NATS: one FastStream broker a process, and publishing that waits for the disk."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import nats
from faststream import AckPolicy
from faststream.nats import JStream, NatsBroker, NatsMessage, PullSub
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js import JetStreamContext

from shared.batches import batches, publish_batch
from shared.contracts.envelope import Envelope, Event, seal
from shared.settings import Settings
from shared.telemetry import trace_headers
from shared.topology import MAX_PAYLOAD_BYTES, work

# A publish in flight when NATS dies gets no early error; the same Nats-Msg-Id makes a retry harmless.
PUBLISH_SECONDS = 2.0
PUBLISH_ATTEMPTS = 3
CONNECT_SECONDS = 3.0
# A server that is gone without a word is found out by the second ping that stays without an answer.
PING_SECONDS = 5
BATCH_SIZE = 64
# Short timeouts are worse than long ones: a message that meets the gap between two pulls waits. See PullSub.
PULL_SECONDS = 5.0

Answer = Callable[[Msg], Awaitable[bytes]]
Hear = Callable[[Msg], Awaitable[None]]

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
    """What a service hears and says. `broker` takes the work; `nc` and `js` are valid once opened.

    What needs no acknowledgement comes straight from NATS's client: what the framework does around a handler takes
    longer than most of these handlers.
    """

    nc: Client
    js: JetStreamContext

    def __init__(self, settings: Settings, service: str) -> None:
        self.service = service
        self.on_reconnect: list[Callable[[], Awaitable[None]]] = []
        # What is answered, and what every replica hears, by subject.
        self.answers: dict[str, Answer] = {}
        self.heard_by_all: dict[str, Hear] = {}
        self._subscriptions: list[Subscription] = []
        self.broker = NatsBroker(
            settings.nats_url,
            name=f"precedent-{service}",
            # Anything else closes the client after a minute's outage, and FastStream then spins for ever.
            max_reconnect_attempts=-1,
            reconnect_time_wait=1,
            ping_interval=PING_SECONDS,
            max_outstanding_pings=2,
            reconnected_cb=self._reconnected,
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
            self.nc = await asyncio.wait_for(self.broker.connect(), CONNECT_SECONDS)
        except TimeoutError:
            raise ConnectionError("no server answers") from None
        self.js = self.nc.jetstream()
        if self.nc.max_payload < MAX_PAYLOAD_BYTES:
            raise RuntimeError(f"NATS allows {self.nc.max_payload} bytes a message; set max_payload to 8MB")
        await self.js.stream_info("FIXES")

    async def start(self) -> None:
        """Hears and answers from here on."""
        await self.broker.start()
        for subject, answer in self.answers.items():
            self._subscriptions.append(await self.nc.subscribe(subject, queue=self.service, cb=answering(answer)))
        for subject, hear in self.heard_by_all.items():
            self._subscriptions.append(await self.nc.subscribe(subject, cb=hearing(hear)))

    async def stop(self) -> None:
        """Requests and messages in hand are finished first."""
        for subscription in self._subscriptions:
            with suppress(nats.errors.Error, OSError):
                await subscription.drain()  # type: ignore[no-untyped-call]
        await self.broker.stop()

    @property
    def connected(self) -> bool:
        return hasattr(self, "nc") and self.nc.is_connected

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
            [done] = await asyncio.gather(publish_batch(self.nc, batch), return_exceptions=True)
            if done is True:
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

    def answer(self, subject: str) -> Callable[[Answer], Answer]:
        """Decorator: one replica of the service answers this request."""

        def take(answer: Answer) -> Answer:
            self.answers[subject] = answer
            return answer

        return take


def answering(answer: Answer) -> Callable[[Msg], Awaitable[None]]:
    async def answered(message: Msg) -> None:
        try:
            await message.respond(await answer(message))
        except Exception:
            # Whoever asked hears nothing, and says after its own while that nobody answers.
            log.exception("%s was not answered", message.subject)

    return answered


def hearing(hear: Hear) -> Callable[[Msg], Awaitable[None]]:
    """Without an answer, whoever published: it would reach the inbox where JetStream's acknowledgement is awaited."""

    async def heard(message: Msg) -> None:
        try:
            await hear(message)
        except Exception:
            log.exception("%s was heard, and nothing came of it", message.subject)

    return heard
