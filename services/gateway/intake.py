"""How a fix comes in, for the route and for the edge alike: is it there already, is it on disk, is it finished."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from uuid import UUID

import msgspec

from services.gateway.bodies import FixBody
from services.gateway.keys import Principal
from services.gateway.markers import Markers, key_of
from services.gateway.problems import ApiError
from services.gateway.queries import Queries
from services.gateway.submission import check_fix, identify, submitted
from services.gateway.views import Accepted, Fix
from services.gateway.waiters import Step, Waiters
from shared.contracts.fixes import FixSubmitted

MARKER = "fix"
MAX_WAIT_SECONDS = 30
# In this order: of a fix that is not scored nobody can see whether it is categorized.
TOLD_BY: dict[Step, str] = {"scored": "scored_at", "categorized": "category"}
# Or another preference's quoted value, whatever it says; one without an end goes on to the end.
PREFER_WAIT = re.compile(r'(?:^|[,;\s])wait\s*=\s*"?(\d{1,9})|"(?:[^"\\]|\\.)*"?', re.I)


def preferences(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """RFC 7240: several headers are one list."""
    return ", ".join(value.decode("latin-1") for name, value in headers if name == b"prefer")


def wait_seconds(preferred: str) -> int:
    """A preference that cannot be read is ignored."""
    said = next(filter(None, PREFER_WAIT.findall(preferred)), "0")
    return min(int(said), MAX_WAIT_SECONDS)


def finished(fix: Fix) -> bool:
    return fix.status == "rejected" or (fix.scored_at is not None and fix.category is not None)


def is_past(known: Fix | Accepted, step: Step) -> bool:
    return isinstance(known, Fix) and (finished(known) or getattr(known, TOLD_BY[step]) is not None)


class Taken(msgspec.Struct, frozen=True):
    """`200` for what was there, `201` for what is finished, `202` for what is on disk."""

    status: int
    body: Fix | Accepted

    @property
    def location(self) -> str:
        return f"/v1/fixes/{self.body.id}"


class HandedIn(msgspec.Struct, frozen=True):
    """A fix that may be put on disk, and how long its caller waits.

    `stored` = whether Postgres has it, which is on its way; None = it is new for certain.
    """

    event: FixSubmitted
    stored: asyncio.Future[bool] | None
    seconds: int

    @property
    def keys(self) -> tuple[str, ...]:
        """What Redis has behind one of them was accepted within a day."""
        return () if self.stored is None else (key_of(MARKER, self.event.id),)


class Intake:
    def __init__(
        self, queries: Queries, markers: Markers, waiters: Waiters, publish: Callable[[FixSubmitted], Awaitable[None]]
    ) -> None:
        self._queries, self._markers, self._waiters, self._publish = queries, markers, waiters, publish

    def handed_in(self, principal: Principal, body: FixBody, idempotency_key: str | None, preferred: str) -> HandedIn:
        """Checks it, and begins to find out whether it is there already. Raises `ApiError` for what is refused."""
        now = datetime.now(UTC)
        check_fix(principal, body, now)
        event = submitted(principal, body, identify(principal, body, idempotency_key), now)
        named = body.external_id is not None or idempotency_key is not None
        return HandedIn(event, self._queries.has_fix(event.id) if named else None, wait_seconds(preferred))

    async def accepted(self, fix: HandedIn) -> bool:
        """Within a day; False as well when Redis is away."""
        return fix.stored is not None and bool(await self._markers.has(MARKER, fix.event.id))

    async def take(self, fix: HandedIn, *, accepted: bool) -> Taken:
        """Raises `ApiError` 503 where it cannot be put on disk."""
        existing = None if fix.stored is None else await self._existing(fix.event.id, fix.stored, accepted)
        if existing is None:
            return await self._put_on_disk(fix.event, fix.seconds)
        return Taken(200, await self._awaited(existing, fix.seconds))

    async def _existing(self, identity: UUID, stored: Awaitable[bool], accepted: bool) -> Fix | Accepted | None:
        """Without Postgres and Redis nobody knows; the repeat is then sent, and recognised by the consumer."""
        # Nearly always it is new, and all that is told of a fix takes three tables.
        found = await self._stored(identity) if await there(stored) else None
        if found is not None:
            return found if found.status != "rejected" else None
        return Accepted(id=identity, status="accepted") if accepted else None

    async def _awaited(self, known: Fix | Accepted, seconds: int) -> Fix | Accepted:
        """The fix as it is once it is finished, or when the time is over."""
        end = time.monotonic() + seconds
        for step in TOLD_BY if seconds else ():
            with self._waiters.wait_for(known.id, step) as waiter:
                # What happened before this was not heard, and what happens from here on is.
                known = await self._stored(known.id) or known
                if not is_past(known, step):
                    await asyncio.wait([waiter.done], timeout=max(0.0, end - time.monotonic()))
                    known = await self._stored(known.id) or known
        return known

    async def _stored(self, identity: UUID) -> Fix | None:
        """None as well when Postgres is away."""
        try:
            return await self._queries.fix(identity)
        except ApiError:
            return None

    async def _put_on_disk(self, event: FixSubmitted, seconds: int) -> Taken:
        with self._waiters.wait_for(event.id) as waiter:
            await self._publish(event)
            marked = self._markers.set(MARKER, event.id)
            if seconds:
                await asyncio.wait([waiter.done], timeout=seconds)
            await marked
        if not seconds:
            return Taken(202, Accepted(id=event.id, status="accepted"))
        fix = await self._stored(event.id)
        if fix is not None and finished(fix):
            return Taken(201, fix)
        return Taken(202, Accepted(id=event.id, status=fix.status if fix else "accepted"))


async def there(stored: Awaitable[bool]) -> bool:
    """False as well when Postgres is away."""
    try:
        return await stored
    except ApiError:
        return False
