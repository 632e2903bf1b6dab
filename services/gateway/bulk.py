"""Bulk submission: lines in, answers out, a chunk at a time, so memory stays the same however long the body is."""

import logging
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
from litestar.exceptions import HTTPException
from litestar.response.streaming import ASGIStreamingResponse
from litestar.types import Receive, Send

from services.gateway.bodies import BulkLine
from services.gateway.json_request import decoded
from services.gateway.keys import Principal
from services.gateway.problems import LEFT, ApiError, as_api_error, details, invalid
from services.gateway.runtime import Runtime
from services.gateway.submission import check_fix, identify, submitted
from services.gateway.views import BulkAnswer
from shared.contracts.fixes import FixSubmitted

CHUNK_LINES = 64
# A diff of 1 MiB in JSON, with room for escapes.
MAX_LINE_BYTES = 4 << 20

# A line as it came, or why it is refused unread.
Line = bytes | ApiError

log = logging.getLogger(__name__)


async def lines(body: AsyncIterator[bytes]) -> AsyncIterator[tuple[int, Line]]:
    """Numbered lines of the stream. A line over the limit is dropped as it arrives, and refused by its number."""
    number, held, dropping = 1, bytearray(), False
    async for part in body:
        *whole, rest = part.split(b"\n")
        for piece in whole:
            held += b"" if dropping else piece
            yield number, _too_long() if dropping or len(held) > MAX_LINE_BYTES else bytes(held)
            number, dropping = number + 1, False
            held.clear()
        held += b"" if dropping else rest
        if len(held) > MAX_LINE_BYTES:
            dropping = True
            held.clear()
    if held or dropping:
        yield number, _too_long() if dropping else bytes(held)


def _too_long() -> ApiError:
    return ApiError(413, "too_large", f"a line has at most {MAX_LINE_BYTES} bytes", field="body")


async def chunks(body: AsyncIterator[bytes]) -> AsyncIterator[list[tuple[int, Line]]]:
    chunk: list[tuple[int, Line]] = []
    async for number, line in lines(body):
        if isinstance(line, ApiError) or line.strip():
            chunk.append((number, line))
        if len(chunk) == CHUNK_LINES:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


class Duplex(ASGIStreamingResponse):
    """Answers while the request is still being read. Litestar's own listens for a disconnect, and eats the body."""

    async def send_body(self, send: Send, receive: Receive) -> None:
        await self._stream(send)


class Bulk:
    def __init__(self, runtime: Runtime, principal: Principal) -> None:
        self._runtime = runtime
        self._principal = principal

    async def answers(self, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """One JSON line for each line of the body, in order. A broken line does not touch the others."""
        last = 0
        try:
            async for chunk in chunks(body):
                for said in await self._answered(chunk):
                    yield msgspec.json.encode(said) + b"\n"
                    last = said.line
        except HTTPException as error:
            if error.detail != LEFT:
                raise
            log.warning("%s left in the middle of an import, answered up to line %d", self._principal.name, last)

    async def _answered(self, chunk: Sequence[tuple[int, Line]]) -> list[BulkAnswer]:
        read = [self._read(line) for _, line in chunk]
        done = await self._submit([item for item in read if isinstance(item, FixSubmitted)])
        return [
            answer(number, None, item) if isinstance(item, ApiError) else answer(number, item.id, done[item.id])
            for (number, _), item in zip(chunk, read, strict=True)
        ]

    def _read(self, line: Line) -> FixSubmitted | ApiError:
        if isinstance(line, ApiError):
            return line
        # Of this line: a long import goes on while what it tells of happens.
        now = datetime.now(UTC)
        try:
            body: BulkLine = decoded(BulkLine, line)
            if body.external_id is None:
                raise invalid("external_id", "an imported fix needs the name its repository gives it")
            check_fix(self._principal, body, now)
            return submitted(self._principal, body, identify(self._principal, body, None), now)
        except (ApiError, msgspec.MsgspecError) as error:
            return as_api_error(error)

    async def _submit(self, fixes: Sequence[FixSubmitted]) -> dict[UUID, str | ApiError]:
        """What became of each fix. With Postgres away all of them are sent: the consumer knows what it has."""
        try:
            known: dict[UUID, Any] = dict(await self._runtime.queries.known_fixes([fix.id for fix in fixes]))
        except ApiError:
            known = {}
        done: dict[UUID, str | ApiError] = {}
        news = [fix for fix in fixes if _is_news(fix, known)]
        sent = await self._runtime.publish_all(news)
        for fix in fixes:
            done[fix.id] = "existing" if fix.id in known else "accepted"
        return done | {fix.id: problem for fix, problem in zip(news, sent, strict=True) if problem is not None}


def _is_news(fix: FixSubmitted, known: dict[UUID, Any]) -> bool:
    """Not stored yet, or stored with another outcome than the one the line tells."""
    return fix.id not in known or (fix.outcome is not None and fix.outcome.kind != known[fix.id])


def answer(number: int, identity: UUID | None, outcome: str | ApiError) -> BulkAnswer:
    if isinstance(outcome, ApiError):
        return BulkAnswer(line=number, id=identity, status="rejected", problem=details(outcome))
    return BulkAnswer(line=number, id=identity, status=outcome)
