"""Pages of other origins: answered only where `PRECEDENT_CORS_ORIGINS` names them.

Keys travel in a header that no browser sends by itself, so an origin gets what it has a key for, and no cookies.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Protocol

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

ASKED = b"access-control-request-method"
PREFLIGHT: Headers = [
    (b"access-control-allow-methods", b"GET, POST, PUT, PATCH, DELETE"),
    (
        b"access-control-allow-headers",
        b"Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID, Prefer, Traceparent",
    ),
    (b"access-control-max-age", b"600"),
]
READABLE = (
    b"access-control-expose-headers",
    b"ETag, Link, Location, RateLimit, RateLimit-Policy, Retry-After, "
    b"X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset",
)


class Application(Protocol):
    runtime: Any

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...


class Cors:
    """Around the edge, because a preflight carries no key. An origin that is not named gets no such header."""

    def __init__(self, app: Application, origins: str) -> None:
        self.runtime = app.runtime
        self._app = app
        self._origins = frozenset(origin.strip().rstrip("/").encode() for origin in origins.split(","))

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"]) if scope["type"] == "http" else {}
        allowed = self._allowed(headers.get(b"origin"))
        if allowed and scope["method"] == "OPTIONS" and ASKED in headers:
            await send({"type": "http.response.start", "status": 204, "headers": allowed + PREFLIGHT})
            await send({"type": "http.response.body", "body": b""})
            return

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *allowed, READABLE]
            await send(message)

        await self._app(scope, receive, answer if allowed else send)

    def _allowed(self, origin: bytes | None) -> Headers:
        if origin is None or not self._origins & {origin, b"*"}:
            return []
        return [(b"access-control-allow-origin", origin), (b"vary", b"Origin")]
