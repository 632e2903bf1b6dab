"""Starts processes stage by stage, keeps them running, and stops them in reverse."""

import asyncio
import signal
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any

from deploy.local.errors import PlatformError
from deploy.local.log_lines import Say
from deploy.local.process import SETTLED_SECONDS, Child, Proc, how_it_ended, until_ready
from deploy.local.stop_signals import stop_signals

NAME = "precedent"  # our own lines in the log
FIRST_DELAY_SECONDS = 0.1
ONE_WISH_SECONDS = 0.5  # signals closer than that have one cause: a lost terminal sends several

Stage = Sequence[Proc]
OnChange = Callable[[dict[str, int]], None]  # pids by name


class Supervisor:
    """Uses asyncio's own loop, in the main thread: the kernel ties a child's life to the thread that forked it."""

    def __init__(self, say: Say, keep_fd: int, on_change: OnChange) -> None:
        """`on_change` is called when everything is up, and whenever a process was started again after that."""
        self._say = say
        self._keep_fd = keep_fd
        self._on_change = on_change
        self._stages: list[list[Child]] = []
        self._keepers: list[asyncio.Task[None]] = []
        self._up = False
        self._end: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._forced = 0
        self._asked_at = 0.0

    async def run(self, stages: Sequence[Stage]) -> int:
        """Until a signal, or a process that cannot be kept up. Returns the exit code: 0 after one signal.

        Raises `PlatformError` when a process cannot be started. Either way nothing is running any more.
        """
        booting = asyncio.create_task(self._boot(stages))
        booting.add_done_callback(self._failed)
        with stop_signals(self._on_signal):
            try:
                code = await self._end
            finally:
                await _cancel(booting, *self._keepers)
                await self._stop_all()
        return self._forced or code

    async def _boot(self, stages: Sequence[Stage]) -> None:
        for stage in stages:
            children = [Child(p, self._say, self._keep_fd) for p in stage]
            self._stages.append(children)
            await _together(self._first_start(c) for c in children)
        self._up = True
        self._changed()

    async def _first_start(self, child: Child) -> None:
        await child.spawn()
        await until_ready(child)
        if not child.proc.once:
            keeper = asyncio.create_task(self._keep(child))
            keeper.add_done_callback(self._failed)
            self._keepers.append(keeper)

    async def _keep(self, child: Child) -> None:
        """Starts it again each time it ends, later and later, until it has died too often in a row."""
        name, deaths = child.proc.name, 0
        while True:
            code = await child.wait()
            deaths = deaths + 1 if child.age < SETTLED_SECONDS else 1
            if deaths >= child.proc.quick_deaths:
                raise PlatformError(f"{name} {how_it_ended(code)}, {deaths} times in a row: everything stops", code)
            delay = FIRST_DELAY_SECONDS * 2**deaths
            self._say(NAME, f"{name} {how_it_ended(code)}; it is started again in {delay:.1f} s")
            await asyncio.sleep(delay)
            await self._start_again(child)

    async def _start_again(self, child: Child) -> None:
        try:
            await child.spawn()
            await until_ready(child)
        except PlatformError as e:
            self._say(NAME, str(e))
        else:
            self._changed()
            self._say(NAME, f"{child.proc.name} is back after {child.age:.1f} s")

    def _changed(self) -> None:
        if self._up:
            self._on_change({c.proc.name: c.pid for stage in self._stages for c in stage if c.pid is not None})

    def _failed(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) and not self._end.done():
            self._end.set_exception(error)

    async def _stop_all(self) -> None:
        for stage in reversed(self._stages):
            await asyncio.gather(*(child.stop() for child in stage))

    def _on_signal(self, s: signal.Signals) -> None:
        now = asyncio.get_running_loop().time()
        if not self._end.done():
            self._say(NAME, f"{s.name}: stopping; once more kills")
            self._asked_at = now
            self._end.set_result(0)
        elif now - self._asked_at > ONE_WISH_SECONDS:
            self._forced = 128 + s
            for child in (c for stage in self._stages for c in stage):
                child.force()


async def _together(starts: Iterable[Coroutine[Any, Any, None]]) -> None:
    """All at once; the first failure ends the others and is raised as it is."""
    tasks = [asyncio.create_task(s) for s in starts]
    try:
        await asyncio.gather(*tasks)
    finally:
        await _cancel(*tasks)


async def _cancel(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
