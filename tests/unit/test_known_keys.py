"""A key that is in use is looked up again before it has to be waited for, and never serves for longer than a second."""

import asyncio
from uuid import uuid4

from services.gateway.keys import Keys, Principal
from shared.keys import new_key

HOLDER = Principal(uuid4(), "owner", frozenset(["read"]), ("*",))
HEADER = f"Bearer {new_key().text}"


class Store:
    """A clock, and a table of one key that counts who asks."""

    now = 0.0
    asked = 0
    holder: Principal | None = HOLDER
    away = False

    async def look_up(self, _: bytes) -> Principal | None:
        self.asked += 1
        if self.away:
            raise OSError("away")
        found = self.holder
        await asyncio.sleep(0)
        return found

    def keys(self) -> Keys:
        return Keys(self.look_up, lambda: self.now)


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_who_asks_within_the_second_never_waits() -> None:
    store = Store()
    keys = store.keys()
    await keys.authenticate(HEADER)
    for tenth in range(1, 31):
        store.now = tenth / 10
        assert keys.remembered(HEADER.encode()) is HOLDER
        await turns()
    assert 3 <= store.asked <= 7


async def test_what_was_asked_ahead_counts_from_the_question() -> None:
    store = Store()
    keys = store.keys()
    await keys.authenticate(HEADER)
    store.now = 0.7
    assert keys.remembered(HEADER.encode()) is HOLDER
    await asyncio.sleep(0)  # looked up, not yet told
    store.holder, store.now = None, 1.6
    await turns()
    store.now = 1.75
    assert keys.remembered(HEADER.encode()) is None


async def test_a_store_that_is_away_is_not_said_before_it_matters() -> None:
    store = Store()
    keys = store.keys()
    await keys.authenticate(HEADER)
    store.away, store.now = True, 0.8
    assert keys.remembered(HEADER.encode()) is HOLDER
    await turns()
    store.now = 1.1
    assert keys.remembered(HEADER.encode()) is None
    assert await keys.authenticate(HEADER) is HOLDER  # the last known state
