"""Who is calling: keys looked up by their hash, remembered for a second, and longer only while Postgres is away."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from fnmatch import fnmatchcase
from functools import partial
from hashlib import sha256
from uuid import UUID

import msgspec

from services.gateway.problems import ApiError, store_unavailable
from shared.keys import digest, well_formed

FRESH_SECONDS = 1.0
# A key in use is looked up again before its second is over, and nobody waits for that.
AHEAD_SECONDS = 0.5
# With Postgres away, the last known state serves this long.
STALE_SECONDS = 600.0
MOST_KEYS = 10_000
UNKNOWN = (float("-inf"), None)


class Principal(msgspec.Struct, frozen=True):
    """The holder of a key; `prefix` is what lists and policies call the key."""

    key_id: UUID
    name: str
    scopes: frozenset[str]
    agents: tuple[str, ...]
    prefix: str = ""

    def may_act_for(self, agent_id: str) -> bool:
        return "*" in self.agents or any(fnmatchcase(agent_id, pattern) for pattern in self.agents)


Lookup = Callable[[bytes], Awaitable[Principal | None]]


def refused(detail: str) -> ApiError:
    error = ApiError(401, "unauthenticated", detail)
    error.headers["WWW-Authenticate"] = "Bearer"
    return error


class Keys:
    def __init__(self, lookup: Lookup, clock: Callable[[], float] = time.monotonic) -> None:
        self._lookup = lookup
        self._clock = clock
        self._known: dict[bytes, tuple[float, Principal | None]] = {}
        self._asking: dict[bytes, asyncio.Task[Principal | None]] = {}

    def forget(self) -> None:
        """After `keys.changed.v1`: what is remembered is stale, but still serves if Postgres is away."""
        self._known = {key: (at - FRESH_SECONDS, who) for key, (at, who) in self._known.items()}

    def remembers(self, header: str | None) -> bool:
        """The key was good when it was last looked up: its holder does not suffer for others at the same address."""
        _, who = self._known.get(digest((header or "")[7:].strip()), (0.0, None))
        return who is not None

    def remembered(self, header: bytes | None) -> Principal | None:
        """The holder of a key that was good a moment ago, without waiting; None says nothing about the key."""
        if not header or not header.startswith(b"Bearer "):
            return None
        key = sha256(header[7:]).digest()
        at, who = self._known.get(key, UNKNOWN)
        age = self._clock() - at
        if age > AHEAD_SECONDS and who is not None:
            self._ask(key)
        return who if age < FRESH_SECONDS else None

    async def authenticate(self, header: str | None) -> Principal:
        """Raises `ApiError` 401, or 503 when nobody can say whether the key is good."""
        scheme, _, text = (header or "").partition(" ")
        text = text.strip()
        if scheme.lower() != "bearer":
            raise refused("send your key as 'Authorization: Bearer pk_…'")
        if not well_formed(text):
            raise refused("that is not a key: keys begin with pk_ and carry a checksum; was it cut off?")
        who = await self._find(digest(text))
        if who is None:
            raise refused("this key is unknown, expired or revoked")
        return who

    async def _find(self, key: bytes) -> Principal | None:
        at, who = self._known.get(key, UNKNOWN)
        age = self._clock() - at
        if age < FRESH_SECONDS:
            return who
        try:
            return await asyncio.shield(self._ask(key))
        except ApiError:
            if age < STALE_SECONDS:
                return who
            raise

    def _ask(self, key: bytes) -> asyncio.Task[Principal | None]:
        """Callers with the same key share one question."""
        task = self._asking.get(key)
        if task is None:
            task = self._asking[key] = asyncio.create_task(self._ask_store(key))
            task.add_done_callback(partial(self._answered, key))
        return task

    def _answered(self, key: bytes, task: asyncio.Task[Principal | None]) -> None:
        del self._asking[key]
        if not task.cancelled():
            task.exception()  # whoever waits hears of it; perhaps nobody does

    async def _ask_store(self, key: bytes) -> Principal | None:
        at = self._clock()
        try:
            who = await self._lookup(key)
        except (OSError, TimeoutError) as error:
            raise store_unavailable() from error
        if len(self._known) >= MOST_KEYS:
            self._known.pop(next(iter(self._known)))
        self._known[key] = (at, who)
        return who
