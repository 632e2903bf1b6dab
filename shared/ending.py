"""The end of what runs beside the work."""

import asyncio
from collections.abc import Iterable
from typing import Any

AGAIN_SECONDS = 0.5


async def end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancels until all have ended; what they raise is of no interest any more.

    Once is not enough before Python 3.12: `asyncio.wait_for`, by which NATS's client waits, loses a cancellation that
    meets its result (python/cpython#86296), and a loop around it would go on for ever.
    """
    ending = list(tasks)
    while running := [task for task in ending if not task.done()]:
        for task in running:
            task.cancel()
        await asyncio.wait(running, timeout=AGAIN_SECONDS)
    await asyncio.gather(*ending, return_exceptions=True)
