"""The service's side of the fitting process: start it, follow it, and never leave it behind."""

import asyncio
import os
import shutil
import signal
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from services.trainer import job
from services.trainer.job import Fitted, Refused
from shared.ending import end

ERRORS = "errors.txt"
TOLD_CHARACTERS = 500
END_SECONDS = 5.0

PREFIX = "precedent-fit-"

Said = Callable[[str], Awaitable[None]]


class FitFailedError(Exception):
    """The fitting process ended without a result; the sentence says why."""


class StoppedError(Exception):
    """The service drains: the fit was ended and can be done again elsewhere."""


async def fit(directory: Path, *, said: Said, stop: asyncio.Event, limit_seconds: float) -> Fitted | Refused:
    """`said(stage)` is awaited as the stages begin. Raises `FitFailedError`, `StoppedError`, and what `said` raises."""
    process = await _start(directory)
    follow = asyncio.create_task(_follow(process, said))
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({follow, stopping}, timeout=limit_seconds, return_when=asyncio.FIRST_COMPLETED)
        if stop.is_set():
            raise StoppedError
        if not follow.done():
            raise FitFailedError(f"the fit took longer than {limit_seconds:.0f} s and was ended")
        return _result(directory, await follow)
    finally:
        await end((follow, stopping))
        await _end(process)


@contextmanager
def workplace() -> Iterator[Path]:
    """A directory for one fit, by the name of this process; those of processes that were killed are swept away."""
    for left in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        if not _lives(left.name.removeprefix(PREFIX).partition("-")[0]):
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f"{PREFIX}{os.getpid()}-") as directory:
        yield Path(directory)


def _lives(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, ValueError):
        return False
    except PermissionError:
        return True
    return True


async def _start(directory: Path) -> Process:
    """A session of its own keeps a Ctrl-C in the terminal from it: it ends when the service says so."""
    with (directory / ERRORS).open("wb") as errors:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "services.trainer.fit",
            str(directory),
            stdin=PIPE,
            stdout=PIPE,
            stderr=errors,
            start_new_session=True,
        )


async def _follow(process: Process, said: Said) -> int:
    """The exit code; negative for a signal."""
    assert process.stdout is not None  # noqa: S101 - PIPE was asked for
    async for line in process.stdout:
        await said(line.decode().strip())
    return await process.wait()


def _result(directory: Path, code: int) -> Fitted | Refused:
    if code == 0:
        return job.read_result(directory)
    if code < 0:
        hint = " (mostly for want of memory)" if -code == signal.SIGKILL else ""
        raise FitFailedError(f"the fit was killed by {signal.Signals(-code).name}{hint}")
    told = (directory / ERRORS).read_text(errors="replace").strip().rpartition("\n")[2]
    raise FitFailedError(f"the fit ended with code {code}: {told[-TOLD_CHARACTERS:]}")


async def _end(process: Process) -> None:
    if process.returncode is not None:
        return
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), END_SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()
