"""What is done to an answer on its way out: tag, condition, coding and the headers that every answer has."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from services.gateway.encodings import choose, compressible, encode
from services.gateway.representation import COMMON, Answer, Headers, Representation, length_and_coding

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Scope]]
Send = Callable[[Scope], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

# Those whose `200` is the resource itself, and carries its tag.
TAGGED = frozenset({"GET", "PATCH"})


class Asked(dict[bytes, bytes]):
    """The request's headers, and how it wants its answer."""

    compression = True

    @property
    def accept(self) -> bytes | None:
        return self.get(b"accept-encoding") if self.compression else None


def finished(answer: Answer, method: str, asked: Asked) -> Answer:
    present = {name for name, _ in answer.headers}
    if answer.status == 200 and method in TAGGED and b"etag" not in present:
        condition = asked.get(b"if-none-match") if method == "GET" else None
        return represented(answer).variant(asked.accept).answer(condition)
    headers = [h for h in answer.headers if h[0] != b"content-length"]
    headers += [h for h in COMMON if h[0] not in present]
    return coded(answer.status, headers, answer.body, asked.accept if compressible(headers) else None)


def coded(status: int, headers: Headers, body: bytes, accept: bytes | None) -> Answer:
    """In the coding that is preferred there, with the headers that tell of it."""
    coding = choose(accept, len(body))
    body = encode(body, coding)
    return Answer(status, headers + length_and_coding(body, coding), body)


def represented(answer: Answer) -> Representation:
    own = {name for name, _ in COMMON} | {b"content-length"}
    return Representation(answer.body, [h for h in answer.headers if h[0] not in own], answer.status)


async def say(send: Send, answer: Answer) -> None:
    await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
    await send({"type": "http.response.body", "body": answer.body})


class Finisher:
    """A `send` that holds a whole answer back until its end and then sends it finished; a stream passes through."""

    def __init__(self, method: str, asked: Asked, send: Send) -> None:
        self._method, self._asked, self._send = method, asked, send
        self._start: Scope | None = None
        self._body = bytearray()

    async def __call__(self, message: Scope) -> None:
        if message["type"] == "http.response.start" and _is_whole(message["headers"]):
            self._start = message
        elif self._start is None:
            await self._pass(message)
        else:
            self._body += message.get("body", b"")
            if not message.get("more_body"):
                whole = Answer(self._start["status"], lower(self._start["headers"]), bytes(self._body))
                await say(self._send, finished(whole, self._method, self._asked))

    async def _pass(self, message: Scope) -> None:
        if message["type"] == "http.response.start":
            headers = lower(message["headers"])
            present = {name for name, _ in headers}
            message["headers"] = headers + [h for h in COMMON if h[0] not in present]
        await self._send(message)


def lower(headers: Headers) -> Headers:
    return [(name.lower(), value) for name, value in headers]


def _is_whole(headers: Headers) -> bool:
    """A stream does not know its length; its start must not wait for its end."""
    return any(name.lower() == b"content-length" for name, _ in headers)


async def captured(app: App, scope: Scope, receive: Receive) -> Answer:
    """The whole answer of `app`, not yet sent."""
    start: Scope = {}
    body = bytearray()

    async def take(message: Scope) -> None:
        if message["type"] == "http.response.start":
            start.update(message)
        else:
            body.extend(message.get("body", b""))

    await app(scope, receive, take)
    return Answer(start["status"], lower(start["headers"]), bytes(body))
