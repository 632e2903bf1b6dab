"""Finished answers of reads, kept in this process and in Redis, and used for as long as nothing has moved.

An answer is kept with the generations (`shared/generations.py`) that were taken before its query. It serves while
Redis, asked in the limiter's own round trip, says the same ones. Keys in Redis are `namespace:resource:id`.
"""

import asyncio
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import msgspec
import zstandard

from services.gateway.representation import Representation
from shared.generations import COLLABORATIONS, FIXES, HANDBOOK, LEARNINGS, STATS, every, one
from shared.redis_connections import AWAY, RedisConnections

MAX_BYTES = 64 << 20
# Larger bodies and longer queries are answered, not kept.
MAX_BODY_BYTES = 1 << 20
MAX_QUERY_BYTES = 512
CONNECTIONS = 4
IN_FLUX = "in_flux"
IDENTIFIER = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


# How long a body may serve unasked while Redis is away.
AWAY_SECONDS = 5.0


class Namespace(msgspec.Struct, frozen=True):
    """`unasked`: whether a body may serve while Redis is away; not where a status must never go back."""

    name: str
    ttl_seconds: int
    unasked: bool


LEARNING = Namespace("learnings", 3600, unasked=True)
AUTO_FIX = Namespace("auto-fixes", 1800, unasked=False)
COLLABORATION = Namespace("collaborations", 900, unasked=True)
STATISTICS = Namespace("stats", 900, unasked=True)
PREDICTION = Namespace("predictions", 3600, unasked=False)

# Collections by path: namespace, and what moves the list and each of its items.
COLLECTIONS = {
    "/v1/learnings": (LEARNING, LEARNINGS),
    "/v1/fixes": (AUTO_FIX, FIXES),
    "/v1/collaborations": (COLLABORATION, COLLABORATIONS),
}


class Resource(msgspec.Struct, frozen=True):
    """What a read names: `key` in Redis, and the generations that it depends on."""

    namespace: Namespace
    key: str
    generations: tuple[str, ...]


def resource_of(path: str, query: bytes) -> Resource | None:
    """None for what is not cached."""
    if len(query) > MAX_QUERY_BYTES:
        return None
    suffix = f"?{query.decode('latin-1')}" if query else ""
    if path in COLLECTIONS:
        namespace, what = COLLECTIONS[path]
        return Resource(namespace, f"{namespace.name}:list:{suffix}", (every(what),))
    parent, _, name = path.rpartition("/")
    if path == "/v1/learnings/handbook":
        return Resource(LEARNING, f"{LEARNING.name}:handbook:{suffix}", (every(LEARNINGS), every(HANDBOOK)))
    if parent == "/v1/stats":
        return Resource(STATISTICS, f"{STATISTICS.name}:{name}:{suffix}", (every(STATS),))
    if parent not in COLLECTIONS or not IDENTIFIER.fullmatch(name):
        return None
    namespace, what = COLLECTIONS[parent]
    return Resource(namespace, f"{namespace.name}:item:{name}{suffix}", (one(what, name),))


def keep_out_of_cache(scope: Any) -> None:
    """For a handler whose answer will change by itself, and is not worth keeping."""
    scope[IN_FLUX] = True


class Stored(msgspec.Struct, frozen=True, array_like=True):
    """An answer in Redis. `at` is Unix time: a copy does not live longer than what it was made from."""

    words: tuple[bytes, ...]
    at: float
    headers: list[tuple[bytes, bytes]]
    packed: bytes


class Entry:
    """An answer in this process; `words` are the generations under which it was read, None when Redis was away."""

    __slots__ = ("expires", "representation", "resource", "seen", "words")

    def __init__(
        self, resource: Resource, words: tuple[bytes, ...] | None, made: Representation, seen: float, expires: float
    ) -> None:
        self.resource, self.words, self.representation = resource, words, made
        self.seen, self.expires = seen, expires

    @property
    def cost(self) -> int:
        """Its codings together are hardly ever longer than the body."""
        return 2 * len(self.representation.body)


Count = Callable[[str, str], None]


class Cache:
    """`count(namespace, result)` hears of every look-up. `clock` is Unix time."""

    def __init__(self, redis_url: str, count: Count, clock: Callable[[], float] = time.time) -> None:
        self._connections = RedisConnections(redis_url, CONNECTIONS)
        self._count = count
        self._clock = clock
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        self._bytes = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def has(self, resource: Resource) -> bool:
        return resource.key in self._entries

    def find(self, resource: Resource, words: Sequence[bytes | None], *, away: bool) -> Representation | None:
        """What may be said without a query, given the present generations; counted."""
        entry = self._entries.get(resource.key)
        result = self._judge(entry, words, away=away)
        self._count(resource.namespace.name, result)
        if entry is None or result not in ("hit", "stale"):
            return None
        self._entries.move_to_end(resource.key)
        return entry.representation

    def _judge(self, entry: Entry | None, words: Sequence[bytes | None], *, away: bool) -> str:
        now = self._clock()
        if entry is None or now >= entry.expires:
            return "miss"
        if away:
            unasked = entry.resource.namespace.unasked and now - entry.seen < AWAY_SECONDS
            return "stale" if unasked else "miss"
        if entry.words != tuple(words):
            return "invalidated"
        entry.seen = now
        return "hit"

    def take_in(self, resource: Resource, data: bytes | None, words: Sequence[bytes | None]) -> None:
        """A body that another gateway has left in Redis becomes one of ours, if it is still true and can be read."""
        if data is None:
            return
        with suppress(msgspec.MsgspecError, zstandard.ZstdError):
            stored = msgspec.msgpack.decode(data, type=Stored)
            if stored.words == tuple(words):
                made = Representation.unpacked(stored.headers, stored.packed)
                expires = stored.at + resource.namespace.ttl_seconds
                self._keep(Entry(resource, stored.words, made, self._clock(), expires))

    def put(self, resource: Resource, words: tuple[bytes, ...] | None, made: Representation) -> None:
        """Keeps it here and, in the background, in Redis; without `words` here alone, while Redis is away."""
        if len(made.body) > MAX_BODY_BYTES:
            return
        now = self._clock()
        self._keep(Entry(resource, words, made, now, now + resource.namespace.ttl_seconds))
        if words is not None:
            task = asyncio.create_task(self._share(resource, Stored(words, now, made.headers, made.packed())))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _share(self, resource: Resource, stored: Stored) -> None:
        data, seconds = msgspec.msgpack.encode(stored), resource.namespace.ttl_seconds
        try:
            await self._connections.ask(("SET", resource.key, data, "EX", seconds))
        except AWAY:
            # The next gateway asks Postgres, as this one did.
            return

    def _keep(self, entry: Entry) -> None:
        self._drop(entry.resource.key)
        self._entries[entry.resource.key] = entry
        self._bytes += entry.cost
        while self._bytes > MAX_BYTES:
            self._drop(next(iter(self._entries)))

    def _drop(self, key: str) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._bytes -= entry.cost

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await self._connections.close()
