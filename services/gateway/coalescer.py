"""Many questions, few requests: what is asked while two are on their way rides in the next, as one list."""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Sequence
from functools import cached_property
from typing import Generic, TypeVar

IN_FLIGHT = 2
MOST_ITEMS = 64
# Well below what NATS carries in one message; a larger item rides alone.
MOST_BYTES = 2 << 20

Q = TypeVar("Q")
A = TypeVar("A")
Waiting = tuple[Q, asyncio.Future[A]]


def weightless(_: object) -> int:
    return 0


class Coalescer(Generic[Q, A]):
    """`send` answers a list of questions in their order; an exception among the answers is raised to who asked.

    `size` is the bytes of a question, where they matter.
    """

    def __init__(
        self, send: Callable[[Sequence[Q]], Awaitable[Sequence[A | Exception]]], size: Callable[[Q], int] = weightless
    ) -> None:
        self._send = send
        self._size = size
        self._waiting: list[Waiting[Q, A]] = []
        self._in_flight = 0
        self._carriers: set[asyncio.Task[None]] = set()

    @cached_property
    def _loop(self) -> asyncio.AbstractEventLoop:
        """Asked for once: before Python 3.12 the question is a system call."""
        return asyncio.get_running_loop()

    def ask(self, question: Q) -> asyncio.Future[A]:
        """Fails with what `send` raised for the list it rode in."""
        answer: asyncio.Future[A] = self._loop.create_future()
        self._waiting.append((question, answer))
        if self._in_flight < IN_FLIGHT:
            self._in_flight += 1
            # In a context of its own: the list is not part of its first question's trace.
            carrier = self._loop.create_task(self._carry(), context=contextvars.Context())
            self._carriers.add(carrier)
            carrier.add_done_callback(self._carriers.discard)
        return answer

    async def _carry(self) -> None:
        try:
            while self._waiting:
                await self._ride(self._next())
        finally:
            self._in_flight -= 1

    async def _ride(self, group: list[Waiting[Q, A]]) -> None:
        try:
            replies = await self._send([question for question, _ in group])
        except Exception as error:
            replies = [error] * len(group)
        except asyncio.CancelledError:
            # What will not come is waited for no longer.
            for _, answer in group:
                answer.cancel()
            raise
        for (_, answer), reply in zip(group, replies, strict=True):
            if answer.done():  # the caller has gone
                continue
            if isinstance(reply, Exception):
                answer.set_exception(reply)
                # Whoever still waits hears of it; perhaps nobody does.
                answer.exception()
            else:
                answer.set_result(reply)

    def _next(self) -> list[Waiting[Q, A]]:
        size, count = 0, 0
        for question, _ in self._waiting[:MOST_ITEMS]:
            size += self._size(question)
            if count and size > MOST_BYTES:
                break
            count += 1
        group, self._waiting = self._waiting[:count], self._waiting[count:]
        return group
