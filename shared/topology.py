"""Every stream, durable consumer and bucket, declared here and created by one start-up job, never by a worker.

`pull_subscribe` silently keeps an old consumer's configuration; `declare` updates it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from nats.js import JetStreamContext
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DeliverPolicy,
    DiscardPolicy,
    KeyValueConfig,
    ObjectStoreConfig,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)
from nats.js.errors import NotFoundError

DAY_SECONDS = 86_400
DUPLICATE_WINDOW_SECONDS = 120
# Three times the slowest group statement seen; also the delay after a worker was killed.
ACK_WAIT_SECONDS = 30
MAX_PAYLOAD_BYTES = 8 << 20
# A reader that went away without a word costs the server nothing after this.
READER_FORGOTTEN_SECONDS = 30
GIB = 1 << 30

MODELS_BUCKET = "models"
FLAGS_BUCKET = "flags"


@dataclass(frozen=True)
class Stream:
    name: str
    subjects: tuple[str, ...]
    days: int = 7
    # Its part of the space that the log may take, which JetStream sets aside.
    share: float = 0.05


@dataclass(frozen=True)
class Work:
    """One durable pull consumer, shared by the replicas of `service`."""

    service: str
    stream: str
    subject: str

    @property
    def durable(self) -> str:
        return f"{self.service}_{self.subject.replace('.', '_')}"


STREAMS = (
    Stream("FIXES", ("fixes.>",), share=0.85),
    Stream("KNOWLEDGE", ("learnings.changed.>", "collaborations.changed.>", "patterns.detected.>")),
    Stream("MODELS", ("models.>",)),
    Stream("DEAD", ("dead.>",), days=30),
)

WORK = (
    Work("scoring", "FIXES", "fixes.submitted.v1"),
    Work("scoring", "FIXES", "fixes.imported.v1"),
    Work("scoring", "FIXES", "fixes.categorized.v1"),
    Work("scoring", "FIXES", "fixes.outcome_reported.v1"),
    Work("patterns", "FIXES", "fixes.submitted.v1"),
    Work("patterns", "FIXES", "fixes.imported.v1"),
    Work("patterns", "FIXES", "fixes.outcome_recorded.v1"),
    Work("trainer", "MODELS", "models.retrain_requested.v1"),
    Work("trainer", "MODELS", "models.promotion_requested.v1"),
)


def work(service: str, subject: str) -> Work:
    return next(w for w in WORK if (w.service, w.subject) == (service, subject))


def stream_config(stream: Stream, log_bytes: int) -> StreamConfig:
    return StreamConfig(
        name=stream.name,
        subjects=list(stream.subjects),
        storage=StorageType.FILE,
        retention=RetentionPolicy.LIMITS,
        discard=DiscardPolicy.NEW,
        max_age=stream.days * DAY_SECONDS,
        max_bytes=int(stream.share * log_bytes),
        duplicate_window=DUPLICATE_WINDOW_SECONDS,
        allow_atomic=True,
    )


def consumer_config(item: Work) -> ConsumerConfig:
    return ConsumerConfig(
        durable_name=item.durable,
        filter_subject=item.subject,
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=ACK_WAIT_SECONDS,
        # The limit on tries stands in delivery.py: a limit here would park messages during a long outage.
        max_deliver=-1,
        max_ack_pending=1024,
    )


def reader_config(subjects: Sequence[str], after: int) -> ConsumerConfig:
    """A passing reader of the messages after the position `after`. It acknowledges nothing, and is soon forgotten."""
    return ConsumerConfig(
        filter_subjects=list(subjects),
        deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
        opt_start_seq=after + 1,
        ack_policy=AckPolicy.NONE,
        mem_storage=True,
        num_replicas=1,
        inactive_threshold=READER_FORGOTTEN_SECONDS,
    )


async def add_reader(js: JetStreamContext, stream: str, subjects: Sequence[str], after: int, inbox: str) -> str:
    """Sends what comes after that position to `inbox`, where somebody listens already; returns the reader's name."""
    config = reader_config(subjects, after)
    config.deliver_subject = inbox
    made = await js.add_consumer(stream, config)
    return made.name


async def declare(js: JetStreamContext, log_bytes: int) -> None:
    """Creates or updates everything; safe to repeat. When the log is full, new fixes are refused, none is dropped."""
    for stream in STREAMS:
        config = stream_config(stream, log_bytes)
        try:
            await js.stream_info(stream.name)
            await js.update_stream(config)
        except NotFoundError:
            await js.add_stream(config)
    for item in WORK:
        await js.add_consumer(item.stream, consumer_config(item))
    await _buckets(js)


async def _buckets(js: JetStreamContext) -> None:
    try:
        await js.key_value(FLAGS_BUCKET)
    except NotFoundError:
        await js.create_key_value(KeyValueConfig(bucket=FLAGS_BUCKET, history=5, storage=StorageType.FILE))
    try:
        await js.object_store(MODELS_BUCKET)
    except NotFoundError:
        await js.create_object_store(MODELS_BUCKET, config=ObjectStoreConfig(storage=StorageType.FILE))
