"""Cached reads: answered from memory while nothing has moved, and read once for all who ask at the same time."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import lru_cache

from services.gateway.cache import IN_FLUX, Cache, Resource, resource_of
from services.gateway.exchange import Exchange
from services.gateway.finishing import finished, represented
from services.gateway.representation import Answer, Representation
from shared.flags import Flags
from shared.generations import Generations

Words = tuple[bytes, ...] | None
Ask = Callable[[], Awaitable[Answer]]

_resource_of = lru_cache(maxsize=4096)(resource_of)


class CachedReads:
    def __init__(self, cache: Cache, generations: Generations, flags: Flags) -> None:
        self._cache = cache
        self._generations = generations
        self._flags = flags
        self._flights: dict[tuple[str, Words], asyncio.Future[Representation | None]] = {}

    def resource(self, exchange: Exchange) -> Resource | None:
        """None for what is not answered from a cache."""
        if exchange.method != "GET" or not self._flags.on("cache"):
            return None
        return _resource_of(exchange.path, exchange.query)

    def keys(self, resource: Resource) -> tuple[str, ...]:
        """What to read from Redis along with the decision: the generations, and the body where it is not here."""
        own = () if self._cache.has(resource) else (resource.key,)
        return resource.generations + own

    def known(self, exchange: Exchange) -> Answer | None:
        """The answer that needs no query."""
        resource = exchange.resource
        if resource is None or exchange.looked:
            return None
        exchange.looked = True
        count = len(resource.generations)
        words = exchange.found[:count]
        if len(exchange.found) > count:
            self._cache.take_in(resource, exchange.found[count], words)
        made = self._cache.find(resource, words, away=exchange.alone)
        return None if made is None else told(made, exchange)

    async def read(self, exchange: Exchange, resource: Resource, ask: Ask) -> Answer:
        """The answer of `ask`, shared with everybody who asks under the same generations meanwhile."""
        words = await self._words(exchange, resource)
        if words is None and not resource.namespace.unasked:
            return finished(await ask(), exchange.method, exchange.asked)
        key = (resource.key, words)
        flight = self._flights.get(key)
        made = await flight if flight is not None else None
        if made is not None:
            return told(made, exchange)
        flight = self._flights[key] = asyncio.get_running_loop().create_future()
        try:
            answer = await ask()
            made = self._kept(exchange, words, answer)
        finally:
            flight.set_result(made)
            if self._flights.get(key) is flight:
                del self._flights[key]
        return finished(answer, exchange.method, exchange.asked) if made is None else told(made, exchange)

    async def _words(self, exchange: Exchange, resource: Resource) -> Words:
        if exchange.alone:
            return None
        words = tuple(word for word in exchange.found[: len(resource.generations)] if word is not None)
        return words if len(words) == len(resource.generations) else await self._generations.of(resource.generations)

    def _kept(self, exchange: Exchange, words: Words, answer: Answer) -> Representation | None:
        if answer.status != 200 or exchange.resource is None or exchange.scope.get(IN_FLUX):
            return None
        made = represented(answer)
        self._cache.put(exchange.resource, words, made)
        return made


def told(made: Representation, exchange: Exchange) -> Answer:
    asked = exchange.asked
    return made.variant(asked.accept).answer(asked.get(b"if-none-match"))
