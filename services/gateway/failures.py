"""Failed authentication, limited by address: who guesses keys is refused without asking any store."""

import math
from collections.abc import Callable

from services.gateway.limit_headers import limited
from services.gateway.limiter import Limiter

MOST_ADDRESSES = 10_000


class Failures:
    def __init__(self, limiter: Limiter, clock: Callable[[], float]) -> None:
        self._limiter = limiter
        self._clock = clock
        self._refused_until: dict[str, float] = {}

    @property
    def any_refused(self) -> bool:
        return bool(self._refused_until)

    def check(self, address: str) -> None:
        """Raises `ApiError` 429 while the address has failed too often."""
        left = self._refused_until.get(address, 0.0) - self._clock()
        if left > 0:
            raise limited((self._limiter.failures,), math.ceil(left))
        self._refused_until.pop(address, None)

    async def count(self, address: str) -> None:
        """One more. Raises `ApiError` 429 when it was one too many."""
        verdict = await self._limiter.fail(address)
        if verdict.violated:
            if len(self._refused_until) >= MOST_ADDRESSES:
                self._refused_until.pop(next(iter(self._refused_until)))
            self._refused_until[address] = self._clock() + verdict.retry_after
            raise limited(verdict.violated, verdict.retry_after)
