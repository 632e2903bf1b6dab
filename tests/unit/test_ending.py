"""What runs beside the work ends when it has to."""

import asyncio
from contextlib import suppress

from shared.ending import end


async def test_what_loses_a_cancellation_ends_all_the_same() -> None:
    answered = asyncio.Event()

    async def keep_asking() -> None:
        with suppress(asyncio.CancelledError):
            await answered.wait()
        await answered.wait()

    asking = asyncio.create_task(keep_asking())
    await asyncio.sleep(0)
    await asyncio.wait_for(end([asking]), 10)
    assert asking.cancelled()


async def test_what_has_failed_or_is_done_is_no_concern_of_the_end() -> None:
    async def fail() -> None:
        raise ValueError

    async def finish() -> None:
        return None

    tasks = [asyncio.create_task(fail()), asyncio.create_task(finish())]
    await asyncio.sleep(0)
    await end(tasks)
    await end(())
    assert all(task.done() for task in tasks)
