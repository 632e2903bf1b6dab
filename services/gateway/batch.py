"""Several reads in one request. Each of them comes in again by the edge, so it obeys what any other read obeys."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any
from urllib.parse import unquote

import msgspec

from services.gateway.batch_bodies import BatchAnswer, ReadBody
from services.gateway.problems import ApiError, details, invalid

# No more of the connections to Postgres than this, however many reads there are.
AT_ONCE = 4
MOST_ANSWER_BYTES = 16 << 20
STREAMS = "/v1/events"
# What a read takes over from the request that it came in.
INHERITED = ("type", "asgi", "http_version", "server", "client", "scheme", "root_path")
# They speak of the whole request, whose answer says them once.
OF_THE_WHOLE = ("content-length", "ratelimit", "vary", "x-ratelimit")

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]


def check(reads: Sequence[ReadBody]) -> None:
    """Raises `ApiError` 400 for what is no path of this API, or never ends."""
    for number, read in enumerate(reads):
        path = read.path.partition("?")[0]
        if not path.startswith("/v1/") or path.rstrip("/") == STREAMS:
            raise invalid(f"reads[{number}].path", "is a path of this API that can be read at once")


class Batch:
    """The reads of one request, in order. Together their answers take no more memory than `MOST_ANSWER_BYTES`."""

    def __init__(self, edge: App, scope: Message) -> None:
        self._edge, self._outer = edge, scope
        self._left = MOST_ANSWER_BYTES
        self._turn = asyncio.Semaphore(AT_ONCE)

    async def answers(self, reads: Sequence[ReadBody]) -> list[BatchAnswer]:
        return list(await asyncio.gather(*map(self._answer, reads)))

    async def _answer(self, read: ReadBody) -> BatchAnswer:
        said: list[Message] = []

        async def send(message: Message) -> None:
            said.append(message)

        async with self._turn:
            await self._edge(self._scope(read), nothing, send)
        start, body = said[0], b"".join(message.get("body", b"") for message in said[1:])
        self._left -= len(body)
        if self._left < 0:
            return self._too_large()
        headers = {name.decode().lower(): value.decode("latin-1") for name, value in start["headers"]}
        kept = {name: value for name, value in headers.items() if not name.startswith(OF_THE_WHOLE)}
        return BatchAnswer(status=start["status"], headers=kept, body=told(body, headers.get("content-type", "")))

    def _too_large(self) -> BatchAnswer:
        error = ApiError(413, "too_large", f"the answers have more than {MOST_ANSWER_BYTES} bytes together: ask apart")
        return BatchAnswer(status=413, headers={}, body=msgspec.Raw(msgspec.json.encode(details(error))))

    def _scope(self, read: ReadBody) -> Message:
        path, _, query = read.path.partition("?")
        key = [pair for pair in self._outer["headers"] if pair[0] == b"authorization"]
        condition = [(b"if-none-match", read.if_none_match.encode())] if read.if_none_match else []
        return {name: self._outer[name] for name in INHERITED if name in self._outer} | {
            "method": "GET",
            "path": unquote(path),
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": key + condition,
            "state": {},
            # The request that it came in has paid for it.
            "price": 0,
        }


async def nothing() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


def told(body: bytes, content_type: str) -> msgspec.Raw | str | None:
    """JSON as it is, any other text as a string."""
    if not body:
        return None
    return msgspec.Raw(body) if "json" in content_type else body.decode()
