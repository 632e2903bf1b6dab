"""What keeps us from a server that may be somebody's own, in a sentence with its host and never with its password."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import asyncpg
import nats
from nats.aio.client import Client

from shared.errors import words_of
from shared.settings import SettingsError

NATS_TRIES = 3
NATS_SECONDS = 20.0
# Of the server or of what we may do there, and not of what we ask for.
PROBLEMS = (
    OSError,
    ValueError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.InsufficientPrivilegeError,
    asyncpg.FeatureNotSupportedError,
    nats.errors.Error,
)
NO_URL = "this is no such URL; within a password a / is written %2F, and so on"


@contextmanager
def reaching(variable: str, url: str) -> Iterator[None]:
    """Raises `SettingsError`."""
    try:
        yield
    except SettingsError:
        raise
    except PROBLEMS as error:
        raise SettingsError(f"{variable} ({host_of(url)}): {reason_of(error)}") from error


def host_of(url: str) -> str:
    """With its port, where it is certain that neither is a piece of a password."""
    try:
        place = urlsplit(url if "//" in url else f"//{url}").netloc
    except ValueError:
        return "no host"
    if "@" in url and "@" not in place:
        return "no host"
    return place.rpartition("@")[2] or "no host"


def reason_of(error: Exception) -> str:
    if isinstance(error, OSError):
        # asyncio says "Connect call failed", and names the address once more.
        number = error.errno or 0
        return os.strerror(number) if number > 0 else error.strerror or words_of(error)
    # What does not parse may be a piece of a password.
    return NO_URL if isinstance(error, ValueError) else words_of(error)


async def nats_connection(url: str) -> Client:
    """Raises what the server said, or else what went wrong last: the library says only that there is no server."""
    noted: list[Exception] = []

    async def note(error: Exception) -> None:
        noted.append(error)

    try:
        async with asyncio.timeout(NATS_SECONDS):
            return await nats.connect(url, max_reconnect_attempts=NATS_TRIES, error_cb=note)
    except (nats.errors.NoServersError, TimeoutError) as error:
        said = [each for each in noted if not isinstance(each, OSError)]
        raise (said or noted or [error])[-1] from error
