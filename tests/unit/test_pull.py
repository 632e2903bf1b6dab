"""What a worker has read is handled, however it is stopped, and nobody waits until all of it is begun."""

import asyncio
import time
from types import SimpleNamespace
from typing import Any

from shared.bus import BATCH_SIZE
from shared.contracts.fixes import FixSubmitted
from shared.pull import STOP_SECONDS, Pull


class Consumer:
    """Hands over one full fetch, and then nothing; each message says when it is acknowledged."""

    def __init__(self) -> None:
        self.acknowledged: list[int] = []
        self._messages = [SimpleNamespace(number=n, ack=lambda n=n: self._acknowledge(n)) for n in range(BATCH_SIZE)]

    async def _acknowledge(self, number: int) -> None:
        self.acknowledged.append(number)

    async def pull_subscribe_bind(self, *_: str) -> "Consumer":
        return self

    async def fetch(self, *_: float) -> list[Any]:
        if not self._messages:
            await asyncio.Event().wait()
        found, self._messages = self._messages, []
        return found

    async def unsubscribe(self) -> None:
        return None


def pull_of(consumer: Consumer, seconds: float) -> Pull:
    """Of a handler that keeps the processor for so long, as one does that examines a diff."""

    async def handle(_: Any) -> None:
        time.sleep(seconds)
        await asyncio.sleep(0)

    bus: Any = SimpleNamespace(service="patterns", js=consumer)
    return Pull(bus, FixSubmitted.SUBJECT, handle)


async def test_what_was_read_is_handled_also_when_its_beginning_is_cut_off() -> None:
    consumer = Consumer()
    pull = pull_of(consumer, 3 * STOP_SECONDS / BATCH_SIZE)
    running = asyncio.create_task(pull.run())
    await asyncio.sleep(STOP_SECONDS / 4)
    assert len(consumer.acknowledged) < BATCH_SIZE
    await pull.drain()
    assert sorted(consumer.acknowledged) == list(range(BATCH_SIZE))
    running.cancel()
    await asyncio.wait({running})


async def test_whoever_waits_for_something_else_waits_for_one_message_and_not_for_all() -> None:
    consumer = Consumer()
    pull = pull_of(consumer, 0.001)
    running = asyncio.create_task(pull.run())
    turns = 0
    while len(consumer.acknowledged) < BATCH_SIZE:
        await asyncio.sleep(0)
        turns += 1
    assert turns > BATCH_SIZE / 2
    await pull.drain()
    running.cancel()
    await asyncio.wait({running})
