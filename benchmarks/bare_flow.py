"""The way of a fix without what is done on it: `python -m benchmarks.bare_flow gateway|worker PORT`.

A body is taken, put on disk by JetStream, stored once in Postgres by a worker, told by another event, and answered.
Nobody is asked for a key or held to a limit, no diff is read, nothing is scored or categorized: what this takes on a
machine, the product takes too. Of the same libraries, in their plainest use that loses and doubles nothing.
The servers are those that NATS_URL and DATABASE_URL name.
"""

import asyncio
import os
import sys
from typing import Any
from uuid import uuid4

import asyncpg
import msgspec
import nats
import uvicorn
import uvloop
from faststream import AckPolicy, FastStream
from faststream.nats import JStream, NatsBroker, PullSub
from litestar import Litestar, Response, post
from litestar.params import JSONBody
from nats.aio.msg import Msg

from services.gateway.bodies import FixBody
from shared.bus import raw

STREAM, SUBMITTED, STORED = "BARE", "bare.submitted", "bare.stored"
BATCH_SIZE, PULL_SECONDS, WAIT_SECONDS = 64, 1.0, 10.0

TABLES = """
create schema if not exists bare;
create table if not exists bare.inbox (event_id text primary key);
create table if not exists bare.fixes (id text primary key, payload text not null);
"""
STORE = """
with fresh as (insert into bare.inbox select unnest($1::text[]) on conflict do nothing returning event_id)
insert into bare.fixes select t.* from unnest($1::text[], $2::text[]) as t(id, payload)
join fresh on fresh.event_id = t.id
"""


class Taken(msgspec.Struct):
    id: str


def gateway(nats_url: str) -> Litestar:
    waiting: dict[str, asyncio.Future[None]] = {}
    connections: list[Any] = []

    async def stored(message: Msg) -> None:
        waiter = waiting.get(message.data.decode())
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    async def connect() -> None:
        connections.append(await nats.connect(nats_url))
        await connections[0].subscribe(STORED, cb=stored)

    @post("/v1/fixes", status_code=201)
    async def submit(data: JSONBody[FixBody]) -> Response[Taken]:
        identity = str(uuid4())
        waiter = waiting[identity] = asyncio.get_running_loop().create_future()
        try:
            headers = {"Nats-Msg-Id": identity}
            await connections[0].jetstream().publish(SUBMITTED, msgspec.json.encode(data), headers=headers)
            async with asyncio.timeout(WAIT_SECONDS):
                await waiter
        finally:
            del waiting[identity]
        return Response(Taken(identity), status_code=201)

    return Litestar([submit], on_startup=[connect], openapi_config=None, logging_config=None)


class Worker:
    def __init__(self, database: asyncpg.Pool, broker: NatsBroker) -> None:
        self._database, self._broker = database, broker
        self._group: list[tuple[Msg, asyncio.Future[None]]] = []
        self._storing: set[asyncio.Task[None]] = set()

    async def take(self, message: Msg) -> None:
        """Returns when it is stored and told."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._group.append((message, done))
        if len(self._group) == 1:
            task = asyncio.create_task(self._store())
            self._storing.add(task)
            task.add_done_callback(self._storing.discard)
        await done

    async def _store(self) -> None:
        await asyncio.sleep(0)
        group, self._group = self._group, []
        ids = [(message.headers or {})["Nats-Msg-Id"] for message, _ in group]
        try:
            await self._database.execute(STORE, ids, [message.data.decode() for message, _ in group])
            await asyncio.gather(*(self._tell(identity) for identity in ids))
        except Exception as error:
            for _, done in group:
                done.set_exception(error)
            return
        for _, done in group:
            done.set_result(None)

    async def _tell(self, identity: str) -> None:
        await self._broker.publish(identity, STORED, stream=STREAM, headers={"Nats-Msg-Id": identity + "-stored"})


async def work(nats_url: str, database_url: str) -> None:
    async with asyncpg.create_pool(database_url, min_size=2, max_size=4) as database:
        await database.execute(TABLES)
        broker = NatsBroker(nats_url, decoder=raw, apply_types=False, logger=None)
        worker = Worker(database, broker)

        @broker.subscriber(
            SUBMITTED, durable="bare_worker", stream=JStream(STREAM, declare=False), no_reply=True,
            pull_sub=PullSub(batch_size=BATCH_SIZE, timeout=PULL_SECONDS), ack_policy=AckPolicy.NACK_ON_ERROR,
        )  # fmt: skip
        async def submitted(message: Msg) -> None:
            await worker.take(message)

        await FastStream(broker, logger=None).run()


if __name__ == "__main__":
    part, port = sys.argv[1:]
    if part == "worker":
        uvloop.run(work(os.environ["NATS_URL"], os.environ["DATABASE_URL"]))
    else:
        uvicorn.run(
            gateway(os.environ["NATS_URL"]), port=int(port), loop="uvloop", http="httptools", log_config=None,
            access_log=False, server_header=False, timeout_keep_alive=75,
        )  # fmt: skip
