"""Effect, inbox and outbox in one transaction; publish right after the commit; a relay for what a crash left.

The functions take the schema because each worker has its own `inbox` and `outbox`.
"""

import asyncio
import logging
from collections.abc import Sequence
from uuid import UUID

import nats

from shared.bus import Bus
from shared.contracts.envelope import Envelope
from shared.database import Connection, Database
from shared.generations import Generations, touched_by
from shared.retention import Rule

RELAY_SECONDS = 1.0
# Older than this and still there: whoever wrote it is gone.
LEFT_BEHIND_SECONDS = 10
RELAY_BATCH = 256
# Longer than the streams keep anything, so an event can never come back unrecognised.
INBOX_DAYS = 8

log = logging.getLogger(__name__)


async def take(connection: Connection, schema: str, event_ids: Sequence[UUID]) -> set[UUID]:
    """Marks the events as seen; returns those that are new."""
    rows = await connection.fetch(
        f"insert into {schema}.inbox (event_id) select unnest($1::uuid[]) on conflict do nothing returning event_id",
        sorted(set(event_ids)),
    )
    return {row["event_id"] for row in rows}


async def put(connection: Connection, schema: str, envelopes: Sequence[Envelope]) -> None:
    """Stores what must be published if, and only if, the transaction commits."""
    if not envelopes:
        return
    await connection.execute(
        f"insert into {schema}.outbox (event_id, subject, headers, payload) "
        "select * from unnest($1::uuid[], $2::text[], $3::jsonb[], $4::bytea[]) on conflict do nothing",
        *columns(envelopes),
    )


def columns(envelopes: Sequence[Envelope]) -> tuple[list[UUID], list[str], list[dict[str, str]], list[bytes]]:
    """event_id, subject, headers and payload of all, as a statement's arguments."""
    return (
        [e.event_id for e in envelopes],
        [e.subject for e in envelopes],
        [e.headers for e in envelopes],
        [e.payload for e in envelopes],
    )


def inbox_rule(schema: str) -> Rule:
    return Rule(
        "inbox",
        INBOX_DAYS,
        f"delete from {schema}.inbox where event_id in (select event_id from {schema}.inbox "
        "where received_at < now() - make_interval(days => $1) order by received_at limit $2) returning event_id",
    )


class Outbox:
    """Publishes what was committed, and forgets it in batches. First of all cached answers it made old are let go."""

    def __init__(self, bus: Bus, database: Database, schema: str, generations: Generations) -> None:
        self._bus = bus
        self._database = database
        self._schema = schema
        self._generations = generations
        self._published: list[UUID] = []

    async def publish(self, envelopes: Sequence[Envelope]) -> None:
        """After the commit, before the acknowledgement. What JetStream does not take now is left to the relay."""
        await self._moved(envelopes)
        sent = await self._bus.send_all(envelopes)
        self._published.extend(e.event_id for e, error in zip(envelopes, sent, strict=True) if error is None)
        for error in sent:
            if error is not None and not isinstance(error, nats.errors.Error | OSError):
                raise error
        if left := sum(error is not None for error in sent):
            log.warning("%d events of %s are committed and will be published later", left, self._schema)

    async def _moved(self, envelopes: Sequence[Envelope]) -> None:
        await self._generations.moved(key for envelope in envelopes for key in touched_by(envelope))

    async def stop(self) -> None:
        await self.forget_published()
        await self._generations.close()

    async def relay(self) -> None:
        """Runs until cancelled."""
        while True:
            await asyncio.sleep(RELAY_SECONDS)
            try:
                await self._generations.settle()
                await self.forget_published()
                await self._publish_left_behind()
            except Exception as error:
                if not isinstance(error, nats.errors.Error | OSError | TimeoutError) and await self._database.alive():
                    log.exception("the outbox relay of %s failed; it tries again", self._schema)

    async def forget_published(self) -> None:
        if not self._published:
            return
        done, self._published = self._published, []
        try:
            await self._database.pool.execute(
                f"delete from {self._schema}.outbox where event_id = any($1::uuid[])", sorted(done)
            )
        except Exception:
            self._published.extend(done)
            raise

    async def _publish_left_behind(self) -> None:
        async with self._database.pool.acquire() as connection, connection.transaction():
            rows = await connection.fetch(
                f"select event_id, subject, headers, payload from {self._schema}.outbox "
                "where created_at < now() - make_interval(secs => $1) "
                "order by created_at limit $2 for update skip locked",
                LEFT_BEHIND_SECONDS,
                RELAY_BATCH,
            )
            if not rows:
                return
            log.info("publishing %d events that were committed but not sent", len(rows))
            envelopes = [Envelope(**dict(row)) for row in rows]
            await self._moved(envelopes)
            await asyncio.gather(*(self._bus.send(envelope) for envelope in envelopes))
            await connection.execute(
                f"delete from {self._schema}.outbox where event_id = any($1::uuid[])", [r["event_id"] for r in rows]
            )
