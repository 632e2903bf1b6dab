"""One process that cannot outlive us, with its output read line by line."""

import asyncio
import contextlib
import ctypes
import os
import re
import signal
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from socket import socket
from typing import Any

from deploy.local.errors import PlatformError
from deploy.local.log_lines import Say
from shared.listening import VARIABLE

PR_SET_PDEATHSIG = 1
PRCTL = getattr(ctypes.CDLL(None), "prctl", None)  # Linux alone
LINE_BYTES = 1 << 20
NOTHING_TO_RUN = 127  # as a shell says it
TAIL_SECONDS = 1.0  # for the last lines of a process that has ended
SETTLED_SECONDS = 60.0  # having lived that long, a death is no longer one of a row
FORCED_SECONDS = 2.0  # for who may tidy up
CURABLE_SECONDS = 1.0  # between two looks


@dataclass(frozen=True, kw_only=True)
class Proc:
    """What to run and how to treat it. Times in seconds."""

    name: str
    argv: Sequence[str | Path]
    env: Mapping[str, str]
    cwd: Path = Path("/")
    once: bool = False  # ends by itself, and has to end well before the next stage starts
    ready: Callable[[], Awaitable[bool]] | None = None
    listens: Callable[[], socket] | None = None  # opened here and inherited: who answers there is it, and nobody else
    ready_seconds: float = 60.0
    stop: signal.Signals = signal.SIGTERM
    death: signal.Signals = signal.SIGKILL  # what it gets from the kernel when the supervisor is gone
    grace: float = 20.0  # from `stop` to `force`
    force: signal.Signals = signal.SIGKILL  # for who is not waited for; what does not end by it at once is killed
    quick_deaths: int = 5  # that many in a row, and everything stops
    as_user: Mapping[str, Any] = field(default_factory=dict)  # user, group, extra_groups, as subprocess takes them
    hide: re.Pattern[str] | None = None  # lines that tell a reader nothing
    stuck: re.Pattern[str] | None = None  # a line after which only a new start helps, once it is `curable`
    curable: Callable[[], bool] = lambda: True
    relapses: bool = True  # it may be stuck again soon, and has to have settled lest this be a death of a row


def die_with_parent(sig: int, parent: int) -> Callable[[], None]:
    """To be called in the child before exec. The kernel watches the forking *thread*: fork from the main one."""

    def before_exec() -> None:
        for ignored in (signal.SIGINT, signal.SIGQUIT):  # by whom a script has started in the background
            signal.signal(ignored, signal.SIG_DFL)
        if PRCTL and PRCTL(PR_SET_PDEATHSIG, int(sig)) == 0 and os.getppid() != parent:
            os._exit(1)  # the parent was gone before the kernel knew whom to watch

    return before_exec


def how_it_ended(exit_code: int) -> str:
    if exit_code > 128:
        with contextlib.suppress(ValueError):
            return f"was killed by {signal.Signals(exit_code - 128).name}"
    return f"ended with exit code {exit_code}"


class Child:
    """The running process of a `Proc`; after its end, the next one. It holds `keep_fd` open for as long as it lives."""

    def __init__(self, proc: Proc, say: Say, keep_fd: int) -> None:
        self.proc = proc
        self.last_line = ""
        self._say = say
        self._keep_fd = keep_fd
        self._process: asyncio.subprocess.Process | None = None
        self._pump: asyncio.Task[None] | None = None
        self._cure: asyncio.Task[None] | None = None
        self._killing: asyncio.TimerHandle | None = None
        self._started = 0.0
        self._exit_code = 0

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.returncode is None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process and self.alive else None

    @property
    def age(self) -> float:
        """Seconds since the last start."""
        return time.monotonic() - self._started

    async def spawn(self) -> None:
        """Raises `PlatformError` when there is nothing to run, or its port is somebody else's."""
        p, self._started, self._exit_code = self.proc, time.monotonic(), NOTHING_TO_RUN
        sockets = {VARIABLE: p.listens()} if p.listens else {}
        # A pipe of our own: with asyncio's, wait() would also wait for whoever else holds its other end.
        out, into = os.pipe()
        try:
            self._process = await asyncio.create_subprocess_exec(
                *p.argv,
                env={**p.env, **{name: str(s.fileno()) for name, s in sockets.items()}},
                cwd=p.cwd,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=into,
                stderr=into,
                process_group=0,  # so that Ctrl-C reaches the supervisor alone
                pass_fds=(self._keep_fd, *(s.fileno() for s in sockets.values())),
                preexec_fn=die_with_parent(p.death, os.getpid()),
                **p.as_user,
            )
        except OSError as e:
            os.close(out)
            raise PlatformError(f"{p.name} cannot be started: {p.argv[0]}: {e.strerror}") from e
        finally:
            os.close(into)
            for s in sockets.values():
                s.close()
        self._pump = asyncio.create_task(self._pass_through(out))

    async def _pass_through(self, fd: int) -> None:
        reader = asyncio.StreamReader(limit=LINE_BYTES)
        pipe = os.fdopen(fd, "rb")
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), pipe
        )
        with contextlib.closing(transport):
            while line := await self._next_line(reader):
                self._tell(line.decode(errors="replace").rstrip())

    @staticmethod
    async def _next_line(reader: asyncio.StreamReader) -> bytes:
        try:
            return await reader.readline()
        except ValueError:
            return b"(a line of more than 1 MiB is left out)\n"

    def _tell(self, line: str) -> None:
        if line and not (self.proc.hide and self.proc.hide.search(line)):
            self.last_line = line
            self._say(self.proc.name, line)
        if self.proc.stuck and self.proc.stuck.search(line) and self._cure is None:
            self._cure = asyncio.create_task(self._end_once_curable())

    async def _end_once_curable(self) -> None:
        """Whoever keeps it running starts it again."""
        settled = SETTLED_SECONDS if self.proc.relapses else 0.0
        while self.age < settled or not self.proc.curable():  # noqa: ASYNC110 - a disk tells nobody
            await asyncio.sleep(CURABLE_SECONDS)
        if self._process and self.alive:
            self._process.send_signal(self.proc.stop)

    async def wait(self) -> int:
        """Its exit code, 128+n after signal n; whatever it had started itself is gone by then, too."""
        if self._process and self._pump:
            code = await self._process.wait()
            self.kill()
            for later in (self._cure, self._killing):
                if later:
                    later.cancel()
            self._cure = self._killing = None
            await asyncio.wait({self._pump}, timeout=TAIL_SECONDS)
            self._pump.cancel()
            self._exit_code = code if code >= 0 else 128 - code
            self._process = None
        return self._exit_code

    async def stop(self) -> None:
        """Asks, waits for `grace`, then kills."""
        if not (process := self._process):
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(self.proc.stop)
        try:
            await asyncio.wait_for(process.wait(), self.proc.grace)
        except TimeoutError:
            self._say(self.proc.name, f"did not stop within {self.proc.grace:g} s and is killed")
            self.force()
        await self.wait()

    def force(self) -> None:
        """Waits no longer; but what only itself can tidy up, it may."""
        if self.proc.force == signal.SIGKILL:
            self.kill()
        elif self._process and self.alive:
            self._process.send_signal(self.proc.force)
            self._killing = asyncio.get_running_loop().call_later(FORCED_SECONDS, self.kill)

    def kill(self) -> None:
        """The whole process group, at once."""
        if self._process:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)


async def until_ready(child: Child) -> None:
    """Raises `PlatformError` when it ends first (a `once` process: ends badly), or takes too long."""
    p = child.proc
    if p.once:
        if code := await child.wait():
            raise PlatformError(_ended(child, code), code)
        return
    while p.ready and not await p.ready():
        if not child.alive:
            code = await child.wait()
            raise PlatformError(_ended(child, code), code)
        if child.age > p.ready_seconds:
            raise PlatformError(f"{p.name} was not ready after {p.ready_seconds:g} s. {child.last_line}")
        await asyncio.sleep(0.02)


def _ended(child: Child, code: int) -> str:
    why = f": {child.last_line}" if child.last_line else ""
    return f"{child.proc.name} {how_it_ended(code)}{'' if child.proc.once else ' before it was ready'}{why}"
