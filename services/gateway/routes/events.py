"""`GET /v1/events`: what happens, as it happens, by server-sent events."""

import asyncio
from typing import Annotated, Any
from uuid import UUID

from litestar import Request, get
from litestar.di import NamedDependency
from litestar.params import FromQuery, HeaderParameter, QueryParameter
from litestar.response.streaming import ASGIStreamingResponse
from litestar.types import HTTPResponseBodyEvent, Receive, Send

from services.gateway.events import TYPES, Position, Wanted, parse_id
from services.gateway.filters import Filter
from services.gateway.guards import requires
from services.gateway.problems import invalid
from services.gateway.readers import Reader, Readers
from services.gateway.runtime import Runtime

# A client that takes nothing for so long is cut off; its last id brings it back to where it was.
SEND_SECONDS = 10.0
HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}

Type = Annotated[
    str | None,
    QueryParameter(name="type", max_length=500, description=f"Comma-separated: {', '.join(TYPES)}. Default: all."),
]
LastEventId = Annotated[
    str | None,
    HeaderParameter(
        name="Last-Event-ID", required=False, max_length=500, description="The last `id` heard: go on after it."
    ),
]


class EventStream(ASGIStreamingResponse):
    """Ends when the reader has to go, when the client left, or when it does not read."""

    def __init__(self, readers: Readers, reader: Reader, abort: Any) -> None:
        super().__init__(iterator=(), media_type="text/event-stream", status_code=200, headers=HEADERS)
        self._readers, self._reader, self._abort = readers, reader, abort

    async def send_body(self, send: Send, receive: Receive) -> None:
        leaving = asyncio.create_task(self._left(receive))
        try:
            await self._send(send)
        except TimeoutError:
            self._reader.end("slow")
            self._abort()
            await leaving
        finally:
            leaving.cancel()
            self._readers.leave(self._reader)

    async def _send(self, send: Send) -> None:
        async for chunk in self._reader.chunks():
            async with asyncio.timeout(SEND_SECONDS):
                await send(HTTPResponseBodyEvent(type="http.response.body", body=chunk, more_body=True))
        await send(HTTPResponseBodyEvent(type="http.response.body", body=b"", more_body=False))

    async def _left(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._reader.end("client")


def types(text: str | None) -> frozenset[str]:
    named = frozenset(name.strip() for name in (text or "").split(",") if name.strip())
    if unknown := named - set(TYPES):
        raise invalid("type", f"no such type: {', '.join(sorted(unknown))}; there are {', '.join(TYPES)}")
    return named


def resumed(header: str | None, query: str | None, now: Position) -> Position | None:
    """The header is what a browser sends when it comes back, so it is the newer word."""
    last = header or query
    return parse_id(last, now) if last else None


@get("/v1/events", media_type="text/event-stream", guards=[requires("read")])
async def events(
    request: Request[Any, Any, Any],
    runtime: NamedDependency[Runtime],
    kind: Type = None,
    agent_id: Filter = None,
    repository: Filter = None,
    fix_id: FromQuery[UUID | None] = None,
    last_event_id: Filter = None,
    last_heard: LastEventId = None,
) -> EventStream:
    """What happens, as it happens. Ids and numbers as they come; read the rest by its id. Goes on after
    `Last-Event-ID` without a gap, for as long as the log reaches back: a week. Whoever reads too slowly is cut off, and
    comes back the same way.
    """
    wanted = Wanted(types=types(kind), agent_id=agent_id, repository=repository, fix_id=str(fix_id) if fix_id else None)
    readers = runtime.readers
    position = resumed(last_heard, last_event_id, readers.feed.head)
    reader = await readers.admit(request.headers.get("authorization", ""), wanted, position)
    return EventStream(readers, reader, request.scope.get("abort", lambda: None))
