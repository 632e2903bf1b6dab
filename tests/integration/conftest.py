"""Servers that the tests may take away, started once for all of them."""

from collections.abc import AsyncIterator
from itertools import count

import pytest

from tests.outages import Frail, frail, world_on
from tests.world import World

_numbers = count()


@pytest.fixture(scope="session")
async def frail_servers() -> AsyncIterator[Frail]:
    async with frail() as servers:
        yield servers


@pytest.fixture
async def outages(frail_servers: Frail) -> AsyncIterator[Frail]:
    """The servers, all running again when the test is over."""
    yield frail_servers
    await frail_servers.mend()


@pytest.fixture
async def frail_world(outages: Frail) -> AsyncIterator[World]:
    """A world on them: whatever it started ends while they run."""
    async with world_on(outages, f"frail_{next(_numbers)}") as world:
        yield world
        await outages.mend()
