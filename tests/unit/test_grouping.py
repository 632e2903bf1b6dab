"""Groups form by themselves under load, in order, and a bad item falls alone."""

import asyncio
from collections.abc import Sequence

import pytest

from shared.grouping import Grouper


class Table:
    """Takes a group once `open` is set; refuses a group that holds something negative, as Postgres would."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.rows: list[int] = []
        self.open = asyncio.Event()
        self.open.set()

    async def write(self, items: Sequence[int]) -> Sequence[str]:
        self.groups.append(list(items))
        await self.open.wait()
        if any(item < 0 for item in items):
            raise ValueError(f"refused: {min(items)}")
        self.rows.extend(items)
        return [f"row {item}" for item in items]


async def turns(n: int = 5) -> None:
    for _ in range(n):
        await asyncio.sleep(0)


async def test_what_arrives_at_one_moment_is_written_as_one_group_in_order() -> None:
    table = Table()
    grouper = Grouper(table.write)
    answers = await asyncio.gather(*(grouper.submit(n) for n in range(10)))
    assert answers == [f"row {n}" for n in range(10)]
    assert table.groups == [list(range(10))]


async def test_what_comes_one_a_turn_is_one_group_too() -> None:
    table = Table()
    grouper = Grouper(table.write, max_group=8)
    coming = []
    for n in range(10):
        coming.append(asyncio.create_task(grouper.submit(n)))
        await asyncio.sleep(0)
    await asyncio.gather(*coming)
    assert table.groups == [[*range(8)], [8, 9]]


async def test_a_group_forms_while_another_is_under_way() -> None:
    table = Table()
    table.open.clear()
    grouper = Grouper(table.write)
    first = asyncio.create_task(grouper.submit(0))
    await turns()
    later = [asyncio.create_task(grouper.submit(n)) for n in (1, 2, 3)]
    await turns()
    assert table.groups == [[0]], "one group is under way at a time"
    table.open.set()
    assert await asyncio.gather(first, *later) == ["row 0", "row 1", "row 2", "row 3"]
    assert table.groups == [[0], [1, 2, 3]]


async def test_a_group_is_no_larger_than_allowed() -> None:
    table = Table()
    grouper = Grouper(table.write, max_group=4)
    await asyncio.gather(*(grouper.submit(n) for n in range(10)))
    assert [len(group) for group in table.groups] == [4, 4, 2]
    assert table.rows == list(range(10))


async def test_a_bad_item_falls_alone_with_its_own_reason() -> None:
    table = Table()
    grouper = Grouper(table.write)
    answers = await asyncio.gather(*(grouper.submit(n) for n in (1, -2, 3, -4)), return_exceptions=True)
    assert answers[0] == "row 1"
    assert answers[2] == "row 3"
    assert [str(a) for a in answers if isinstance(a, ValueError)] == ["refused: -2", "refused: -4"]
    assert table.rows == [1, 3]


async def test_after_a_failure_the_next_group_is_written_as_ever() -> None:
    table = Table()
    grouper = Grouper(table.write)
    with pytest.raises(ValueError, match="refused: -1"):
        await grouper.submit(-1)
    assert await grouper.submit(1) == "row 1"


async def test_a_caller_that_has_gone_takes_nobody_along() -> None:
    table = Table()
    table.open.clear()
    grouper = Grouper(table.write)
    calls = [asyncio.create_task(grouper.submit(n)) for n in (1, 2)]
    await turns()
    calls[0].cancel()
    table.open.set()
    assert await calls[1] == "row 2"
    assert table.rows == [1, 2], "its item was already on its way"
    assert await grouper.submit(3) == "row 3"


async def test_a_flush_that_answers_too_few_leaves_no_caller_waiting() -> None:
    async def forgetful(items: Sequence[int]) -> Sequence[int]:
        return items[:-1]

    grouper = Grouper(forgetful)
    calls = asyncio.gather(*(grouper.submit(n) for n in range(3)), return_exceptions=True)
    assert [type(a) for a in await asyncio.wait_for(calls, 2)] == [ValueError] * 3
