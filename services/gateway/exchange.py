"""One request and its answer, as the edge sees them."""

import time
from collections.abc import Sequence
from typing import Any

from services.gateway.buckets import Verdict
from services.gateway.cache import Resource
from services.gateway.finishing import Asked, Receive, Scope, Send
from services.gateway.limit_headers import limit_headers
from services.gateway.representation import Answer, Headers


class Exchange:
    """`found` is what the limiter's trip has read along; `looked` says that the cache has seen it."""

    __slots__ = (
        "_send", "asked", "found", "looked", "method", "path", "query", "receive", "resource", "route", "scope",
        "started", "status", "verdict",
    )  # fmt: skip

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope, self.receive, self._send = scope, receive, send
        self.started = time.perf_counter()
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.query: bytes = scope["query_string"]
        self.asked = Asked(scope["headers"])
        # What is told of an answer that never came.
        self.status = 500
        self.route: str | None = None
        self.verdict: Verdict | None = None
        self.resource: Resource | None = None
        self.found: Sequence[bytes | None] = ()
        self.looked = False

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self.started

    @property
    def alone(self) -> bool:
        """Redis is away, and this process has only itself to ask."""
        return self.verdict is not None and self.verdict.backend == "local"

    @property
    def refused(self) -> bool:
        return self.verdict is not None and bool(self.verdict.violated)

    async def send(self, message: Scope) -> None:
        """ASGI's `send`, for whoever answers in messages."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = self._with_limits(message["headers"])
        await self._send(message)

    async def say(self, answer: Answer) -> None:
        say_whole = self.scope.get("say_whole")
        if say_whole and say_whole(self._send, answer.status, self._with_limits(answer.headers), answer.body):
            self.status = answer.status
            return
        await self.send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
        await self._send({"type": "http.response.body", "body": answer.body})

    def _with_limits(self, headers: Headers) -> Headers:
        # A route that takes more of the buckets itself leaves the newer word there.
        verdict = self.scope.get("verdict")
        return headers if verdict is None else [*headers, *limit_headers(verdict)]

    async def body(self) -> bytes:
        """It can be read again."""
        whole_body = self.scope.get("whole_body")
        here: bytes | None = whole_body and whole_body(self.receive)
        if here is None:
            here = await self._read()
            self._read_again(here)
        return here

    async def _read(self) -> bytes:
        body = bytearray()
        while True:
            message = await self.receive()
            body += message.get("body", b"")
            if message["type"] != "http.request" or not message.get("more_body"):
                return bytes(body)

    def _read_again(self, body: bytes) -> None:
        after = self.receive
        messages: list[dict[str, Any]] = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Scope:
            return messages.pop() if messages else await after()

        self.receive = receive
