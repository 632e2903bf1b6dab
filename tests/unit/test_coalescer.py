"""At most two requests are on their way; what is asked meanwhile rides in the next."""

import asyncio
from collections.abc import Sequence

import msgspec
import pytest

from services.gateway.coalescer import IN_FLIGHT, MOST_BYTES, MOST_ITEMS, Coalescer
from shared.contracts.commands import Reply


class Scoring:
    """Answers each list when it is told to."""

    def __init__(self) -> None:
        self.lists: list[Sequence[bytes]] = []
        self.answers = asyncio.Semaphore(0)
        self.on_their_way = self.most_on_their_way = 0
        self.failing = False

    async def __call__(self, questions: Sequence[bytes]) -> Sequence[Reply]:
        self.lists.append(questions)
        self.on_their_way += 1
        self.most_on_their_way = max(self.most_on_their_way, self.on_their_way)
        try:
            await self.answers.acquire()
        finally:
            self.on_their_way -= 1
        if self.failing:
            raise ConnectionError("away")
        return [Reply(value=msgspec.Raw(question)) for question in questions]


@pytest.fixture
def scoring() -> Scoring:
    return Scoring()


async def asked(coalescer: Coalescer[bytes, Reply], questions: Sequence[bytes]) -> list[asyncio.Future[Reply]]:
    tasks = []
    for question in questions:
        tasks.append(coalescer.ask(question))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    return tasks


def answer_all(scoring: Scoring) -> None:
    for _ in range(1000):
        scoring.answers.release()


async def test_each_gets_its_own_answer_and_never_more_than_two_lists_are_on_their_way(scoring: Scoring) -> None:
    questions = [b"%d" % n for n in range(100)]
    tasks = await asked(Coalescer(scoring, len), questions)
    assert [list(sent) for sent in scoring.lists] == [[b"0"], [b"1"]]
    answer_all(scoring)
    assert [bytes((await task).value) for task in tasks] == questions
    assert scoring.most_on_their_way == IN_FLIGHT
    assert [len(sent) for sent in scoring.lists] == [1, 1, MOST_ITEMS, 98 - MOST_ITEMS]


async def test_a_list_is_bounded_in_bytes_and_what_is_larger_rides_alone(scoring: Scoring) -> None:
    large = b" " * (MOST_BYTES + 1) + b"1"
    tasks = await asked(Coalescer(scoring, len), [b"1", b"2", b"3", large, b"4", b"5"])
    answer_all(scoring)
    await asyncio.gather(*tasks)
    assert [len(sent) for sent in scoring.lists[2:]] == [1, 1, 2]


async def test_a_failure_reaches_those_who_rode_in_that_list_and_nobody_later(scoring: Scoring) -> None:
    coalescer = Coalescer(scoring, len)
    scoring.failing = True
    tasks = await asked(coalescer, [b"1", b"2", b"3"])
    scoring.answers.release()
    with pytest.raises(ConnectionError):
        await tasks[0]
    scoring.failing = False
    answer_all(scoring)
    assert bytes((await tasks[2]).value) == b"3"
    assert bytes((await coalescer.ask(b"4")).value) == b"4"


async def test_a_caller_who_has_gone_does_not_stop_the_others(scoring: Scoring) -> None:
    tasks = await asked(Coalescer(scoring, len), [b"1", b"2", b"3", b"4"])
    tasks[2].cancel()
    await asyncio.sleep(0)
    answer_all(scoring)
    assert bytes((await tasks[3]).value) == b"4"


async def test_nobody_waits_for_a_list_that_was_called_off(scoring: Scoring) -> None:
    coalescer: Coalescer[bytes, Reply] = Coalescer(scoring, len)
    [asked_first] = await asked(coalescer, [b"1"])
    for carrier in coalescer._carriers:
        carrier.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked_first
    answer_all(scoring)
    assert bytes((await coalescer.ask(b"2")).value) == b"2"
