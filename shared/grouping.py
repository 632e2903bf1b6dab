"""Many callers, one statement: what arrives while a group is being written goes out together as the next."""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")

MAX_GROUP = 128


class Grouper(Generic[T, R]):
    """`flush` gets a list and answers a list of the same length; one group is under way at a time, in order.

    When a group fails its items are tried one by one, so that a bad one never blocks the others.
    """

    def __init__(self, flush: Callable[[Sequence[T]], Awaitable[Sequence[R]]], max_group: int = MAX_GROUP) -> None:
        self._flush = flush
        self._max_group = max_group
        self._waiting: list[tuple[T, asyncio.Future[R]]] = []
        self._running: asyncio.Task[None] | None = None

    async def submit(self, item: T) -> R:
        """Raises what `flush` raised for this item alone."""
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._running is None:
            # In a context of its own: the group is not part of its first item's trace.
            self._running = asyncio.create_task(self._run(), context=contextvars.Context())
        return await future

    async def _run(self) -> None:
        try:
            await self._gathered()
            while self._waiting:
                group, self._waiting = self._waiting[: self._max_group], self._waiting[self._max_group :]
                await self._write(group)
        finally:
            self._running = None

    async def _gathered(self) -> None:
        """As long as each turn of the loop brings more: all messages of one fetch find their way into one group."""
        before = 0
        while before < len(self._waiting) < self._max_group:
            before = len(self._waiting)
            await asyncio.sleep(0)

    async def _write(self, group: list[tuple[T, asyncio.Future[R]]]) -> None:
        try:
            answers = await self._flush([item for item, _ in group])
            results = list(zip(group, answers, strict=True))
        except Exception as error:
            if len(group) == 1:
                _settle(group[0][1], error=error)
                return
            for pair in group:
                await self._write([pair])
            return
        for (_, future), result in results:
            _settle(future, result=result)


def _settle(future: "asyncio.Future[R]", *, result: R | None = None, error: Exception | None = None) -> None:
    if future.done():  # the caller has gone
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)  # type: ignore[arg-type]
