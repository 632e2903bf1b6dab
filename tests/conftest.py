"""Fixtures: real servers once a session, an empty world for each test or one for all of a module."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.servers import Servers, started
from tests.world import World, empty_world, fresh_database


@pytest.fixture(scope="session")
async def servers() -> AsyncIterator[Servers]:
    async with started() as running:
        yield running


@pytest.fixture
async def database(servers: Servers) -> AsyncIterator[str]:
    """The name of a fresh database with the whole schema."""
    async with fresh_database(servers) as name:
        yield name


@pytest.fixture
async def world(servers: Servers, database: str) -> AsyncIterator[World]:
    """Empty stores, declared streams, and a way to start services in this process against them."""
    async with empty_world(servers, database) as made:
        yield made


@pytest.fixture(scope="module")
async def standing(servers: Servers) -> AsyncIterator[World]:
    """A world for all tests of a module, none of which minds what others leave, and none of which asks for `world`."""
    async with fresh_database(servers) as name, empty_world(servers, name) as made:
        yield made


@pytest.fixture
def make_directory(tmp_path: Path) -> Callable[[str], Path]:
    def make(name: str) -> Path:
        path = tmp_path / name
        path.mkdir()
        return path

    return make
