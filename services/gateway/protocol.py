"""HTTP/1.1 with limits on what comes before the application is asked: how long, how many, how large.

uvicorn has a limit on none of these; a client that sends its headers a byte a minute would be waited for for ever.
"""

import asyncio
from typing import Any

import msgspec
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from services.gateway.problems import MEDIA_TYPE, ApiError, details

# From the first byte of a request, or from the connection's begin, to the last of its headers.
HEADER_SECONDS = 10.0
MAX_HEADERS = 100
MAX_HEADER_BYTES = 32 << 10
MAX_URL_BYTES = 8 << 10


class Refused(Exception):  # noqa: N818 - a verdict on the client, not a failure
    """Raised out of the parser's callbacks, so that not one byte more of the request is read.

    The parser says only that a callback failed, and uvicorn then asks for the answer to a broken request.
    """


class BoundedProtocol(HttpToolsProtocol):
    """What is refused here is answered and the connection closed; the application never hears of it."""

    _deadline: asyncio.TimerHandle | None = None
    _header_bytes = 0
    _problem: ApiError | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        self._headers_are_here()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        self._refuse(self._problem or ApiError(400, "invalid_request", msg))

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._header_bytes = 0
        self.scope["abort"] = self.transport.abort  # type: ignore[typeddict-unknown-key]
        if self._deadline is None:
            self._expect_headers()

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > MAX_URL_BYTES:
            self._problem = ApiError(414, "url_too_long", f"a URL has at most {MAX_URL_BYTES} bytes")
            raise Refused

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        self._header_bytes += len(name) + len(value)
        if len(self.headers) > MAX_HEADERS or self._header_bytes > MAX_HEADER_BYTES:
            limits = f"a request has at most {MAX_HEADERS} headers of {MAX_HEADER_BYTES} bytes together"
            self._problem = ApiError(431, "headers_too_large", limits)
            raise Refused

    def on_headers_complete(self) -> None:
        self._headers_are_here()
        super().on_headers_complete()

    def _expect_headers(self) -> None:
        self._deadline = self.loop.call_later(HEADER_SECONDS, self._too_slow)

    def _headers_are_here(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        self._refuse(ApiError(408, "request_timeout", f"the headers were not here within {HEADER_SECONDS:g} s"))

    def _refuse(self, problem: ApiError) -> None:
        """Between two requests, where nothing else is being written."""
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete:
            self.transport.write(_answer(problem))
        self.transport.close()


def _answer(problem: ApiError) -> bytes:
    body = msgspec.json.encode(details(problem))
    headers: dict[str, Any] = {"content-type": MEDIA_TYPE, "content-length": len(body), "connection": "close"}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return STATUS_LINE[problem.status] + lines.encode() + b"\r\n" + body
