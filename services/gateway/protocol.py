"""HTTP/1.1 with limits on what comes before the application is asked: how long, how many, how large.

uvicorn has a limit on none of these; a client that sends its headers a byte a minute would be waited for for ever.
"""

import asyncio

import msgspec
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from services.gateway.problems import MEDIA_TYPE, ApiError, details

# From the first byte of a request, or from the connection's begin, to the last of its headers.
HEADER_SECONDS = 10.0
# A body is waited for this long, and longer by what has come of it: so a client that sends at all is let finish.
BODY_SECONDS = 20.0
BODY_BYTES_PER_SECOND = 16 << 10
# Whoever streams lines also thinks, and waits for answers; that costs next to nothing.
STREAMED = "/v1/fixes/bulk"
STREAMED_SECONDS = 120.0
STREAMED_BYTES_PER_SECOND = 64
TICK_SECONDS = 1.0
MAX_HEADERS = 100
MAX_HEADER_BYTES = 32 << 10
MAX_URL_BYTES = 8 << 10


class Refused(Exception):  # noqa: N818 - a verdict on the client, not a failure
    """Raised out of the parser's callbacks, so that not one byte more of the request is read.

    The parser says only that a callback failed, and uvicorn then asks for the answer to a broken request.
    """


class BoundedProtocol(HttpToolsProtocol):
    """What is refused here is answered and the connection closed; the application never hears of it.

    Nothing is ever decompressed, so there is nothing that a small body could swell to.
    """

    # Until the headers are there, and then until the body is.
    _deadline: asyncio.TimerHandle | None = None
    _header_bytes = 0
    _body_bytes = 0
    _waited_seconds = 0.0
    _problem: ApiError | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        self._in_time()
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
        if name.lower() == b"content-encoding" and value.lower() not in (b"", b"identity"):
            self._problem = ApiError(415, "unsupported_media_type", "a body is sent as it is, without a coding")
            self._problem.headers["Accept-Encoding"] = "identity"
            raise Refused
        if len(self.headers) > MAX_HEADERS or self._header_bytes > MAX_HEADER_BYTES:
            limits = f"a request has at most {MAX_HEADERS} headers of {MAX_HEADER_BYTES} bytes together"
            self._problem = ApiError(431, "headers_too_large", limits)
            raise Refused

    def on_headers_complete(self) -> None:
        self._in_time()
        super().on_headers_complete()
        self._body_bytes, self._waited_seconds = 0, 0.0
        self._expect_body()

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_time()
        super().on_message_complete()

    def _expect_headers(self) -> None:
        self._deadline = self.loop.call_later(HEADER_SECONDS, self._headers_late)

    def _expect_body(self) -> None:
        self._deadline = self.loop.call_later(TICK_SECONDS, self._still_waiting)

    def _in_time(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _headers_late(self) -> None:
        self._refuse(ApiError(408, "request_timeout", f"the headers were not here within {HEADER_SECONDS:g} s"))

    def _still_waiting(self) -> None:
        """Once a second until the body is whole. While we are the ones who do not read, no time passes."""
        if not self.flow.read_paused:
            self._waited_seconds += TICK_SECONDS
        if self._waited_seconds > seconds_for(self.scope["path"], self._body_bytes):
            self._refuse(ApiError(408, "request_timeout", "the body came too slowly"))
        else:
            self._expect_body()

    def _refuse(self, problem: ApiError) -> None:
        """Where nothing of an answer was written yet, the client is told; the application hears that it left."""
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            self.transport.write(_answer(problem))
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.close()


def seconds_for(path: str, received: int) -> float:
    """How long a body may keep us waiting of which so many bytes are here."""
    if path == STREAMED:
        return STREAMED_SECONDS + received / STREAMED_BYTES_PER_SECOND
    return BODY_SECONDS + received / BODY_BYTES_PER_SECOND


def _answer(problem: ApiError) -> bytes:
    body = msgspec.json.encode(details(problem))
    own = {"content-type": MEDIA_TYPE, "content-length": str(len(body)), "connection": "close"}
    lines = "".join(f"{name}: {value}\r\n" for name, value in (problem.headers | own).items())
    return STATUS_LINE[problem.status] + lines.encode() + b"\r\n" + body
