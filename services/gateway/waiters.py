"""Callers who wait for a fix to be scored and categorized (`Prefer: wait=N`)."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, get_args
from uuid import UUID

Step = Literal["scored", "categorized"]
STEPS: tuple[Step, ...] = get_args(Step)


class Waiter:
    """`done` when the fix has taken the steps, or was given up, or nobody shall wait any longer."""

    def __init__(self, steps: tuple[Step, ...]) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._missing = set(steps)

    def heard(self, what: Step, *, final: bool = False) -> None:
        self._missing.discard(what)
        if final or not self._missing:
            self.let_go()

    def let_go(self) -> None:
        if not self.done.done():
            self.done.set_result(None)


class Waiters:
    """Registered before the publish, or the look at what is stored, so that nothing is missed; always removed."""

    def __init__(self) -> None:
        self._waiting: dict[UUID, list[Waiter]] = {}
        self._closed = False

    @contextmanager
    def wait_for(self, fix_id: UUID, *steps: Step) -> Iterator[Waiter]:
        """For all steps unless some are named."""
        waiter = Waiter(steps or STEPS)
        if self._closed:
            waiter.let_go()
        self._waiting.setdefault(fix_id, []).append(waiter)
        try:
            yield waiter
        finally:
            others = [w for w in self._waiting[fix_id] if w is not waiter]
            if others:
                self._waiting[fix_id] = others
            else:
                del self._waiting[fix_id]

    def heard(self, fix_id: UUID, what: Step, *, final: bool = False) -> None:
        for waiter in self._waiting.get(fix_id, ()):
            waiter.heard(what, final=final)

    def close(self) -> None:
        """Whoever waits is let go, and whoever comes later does not wait."""
        self._closed = True
        for waiters in self._waiting.values():
            for waiter in waiters:
                waiter.let_go()
