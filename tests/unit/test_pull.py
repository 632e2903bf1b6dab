"""What a worker has read is handled, however it is stopped, and nobody waits until all of it is begun.

Whoever works after another waits for it, but not for ever.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count, repeat
from types import SimpleNamespace
from typing import Any

import nats
import pytest

from shared import pull as module
from shared.bus import BATCH_SIZE
from shared.contracts.fixes import FixImported, FixSubmitted
from shared.pull import STOP_SECONDS, After, Pull
from shared.topology import work


class Consumer:
    """A client whose server hands over all that is asked for at once, and then nothing; each message says when it is
    acknowledged. `last` is sent just before the server hears that nobody listens."""

    def __init__(self, last: int = 0) -> None:
        self.acknowledged: list[int] = []
        made = [SimpleNamespace(reply="$JS.ACK", ack=partial(self._acknowledge, n)) for n in range(BATCH_SIZE + last)]
        self._first, self._last = made[:BATCH_SIZE], made[BATCH_SIZE:]

    async def _acknowledge(self, number: int) -> None:
        self.acknowledged.append(number)

    def new_inbox(self) -> str:
        return "_INBOX.test"

    async def hear(self, _subject: str, _queue: str, take: Callable[[Any], None]) -> object:
        self._take = take
        return object()

    async def publish(self, *_: object) -> None:
        now, self._first = self._first, []
        for message in now:
            self._take(message)

    async def leave(self, _: object) -> None:
        for message in self._last:
            self._take(message)


def pull_of(consumer: Consumer, seconds: float) -> Pull:
    """Of a handler that keeps the processor for so long, as one does that examines a diff."""

    async def handle(_: Any) -> None:
        time.sleep(seconds)
        await asyncio.sleep(0)

    bus: Any = SimpleNamespace(service="patterns", nc=consumer)
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


async def test_what_is_sent_while_it_stops_is_handled_too() -> None:
    consumer = Consumer(last=1)
    pull = pull_of(consumer, 0)
    running = asyncio.create_task(pull.run())
    await asyncio.sleep(STOP_SECONDS / 4)
    await pull.drain()
    assert sorted(consumer.acknowledged) == list(range(BATCH_SIZE + 1))
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


def after(waiting: Iterator[int], done: Iterator[int], most_seconds: float) -> tuple[After, list[str]]:
    """Of another that has so many `waiting` and as much `done` each time it is asked; who was asked about."""
    asked = []

    async def consumer_info(_: str, durable: str) -> Any:
        asked.append(durable)
        floor = SimpleNamespace(consumer_seq=next(done))
        return SimpleNamespace(num_pending=next(waiting), num_ack_pending=0, ack_floor=floor)

    bus: Any = SimpleNamespace(js=SimpleNamespace(consumer_info=consumer_info))
    return After(bus, work("scoring", FixImported.SUBJECT), most_seconds), asked


@pytest.fixture
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.01)


@pytest.mark.usefixtures("quickly")
async def test_another_s_work_is_waited_for_until_it_is_done() -> None:
    turn, asked = after(iter([300, 200, 0]), count(), 60)
    await turn()
    assert len(asked) == 3


@pytest.mark.usefixtures("quickly")
async def test_another_that_does_not_get_on_is_not_waited_for() -> None:
    turn, asked = after(repeat(300), repeat(7), 60)
    await turn()
    assert len(asked) == 2


@pytest.mark.usefixtures("quickly")
async def test_another_that_never_ends_is_waited_for_so_long_and_no_longer() -> None:
    turn, asked = after(repeat(300), count(), 0.1)
    await asyncio.wait_for(turn(), 2)
    assert len(asked) > 2


async def test_nobody_waits_where_none_is_to_be_waited_for_or_nats_is_away() -> None:
    turn, asked = after(repeat(300), count(), 0)
    await turn()
    assert asked == []

    async def away(*_: str) -> None:
        raise nats.errors.TimeoutError

    bus: Any = SimpleNamespace(js=SimpleNamespace(consumer_info=away))
    await After(bus, work("scoring", FixImported.SUBJECT), 60)()
