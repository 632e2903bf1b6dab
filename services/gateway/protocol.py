"""HTTP/1.1 with limits on what comes before the application is asked: how long, how many, how large.

uvicorn has a limit on none of these; a client that sends its headers a byte a minute would be waited for for ever.
"""

import asyncio
from collections.abc import Sequence
from typing import Literal

import msgspec
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from services.gateway.problems import MEDIA_TYPE, ApiError, details, invalid

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
MAX_URL_BYTES = 24 << 10


Headers = list[tuple[bytes, bytes]]


class Refused(Exception):  # noqa: N818 - a verdict on the client, not a failure
    """Raised out of the parser's callbacks, so that not one byte more of the request is read.

    The parser says only that a callback failed, and uvicorn then asks for the answer to a broken request.
    """


class BoundedProtocol(HttpToolsProtocol):
    """What is refused here is answered and the connection closed; the application never hears of it.

    Nothing is ever decompressed, so there is nothing that a small body could swell to.
    """

    # What is waited for, and since when; a request that comes whole sets no timer.
    _stage: Literal["head", "body"] | None = None
    _deadline: asyncio.TimerHandle | None = None
    _head_bytes = 0
    _body_bytes = 0
    _waited_seconds = 0.0
    _problem: ApiError | None = None
    # When the last answer ended; None while one is asked for.
    _idle_since: float | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._in_time()
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        self._refuse(self._problem or ApiError(400, "invalid_request", msg))

    def data_received(self, data: bytes) -> None:
        self._head_bytes += len(data)
        super().data_received(data)
        if self._stage == "head":
            if self._head_bytes > MAX_URL_BYTES + MAX_HEADER_BYTES:
                self._refuse(url_too_long() if len(self.url) > MAX_URL_BYTES else headers_too_large())
            elif self._deadline is None:
                self._expect_head()
        elif self._stage == "body" and self._deadline is None:
            self._expect_body()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._stage = "head"
        self.scope["abort"] = self.transport.abort  # type: ignore[typeddict-unknown-key]

    def on_headers_complete(self) -> None:
        self._in_time()
        self._problem = head_problem(self.url, self.headers, self.parser.get_http_version())
        if self._problem is not None:
            raise Refused
        super().on_headers_complete()
        # Not of the cycle: whatever holds its own scope is freed by a search for garbage alone.
        self.scope["whole_body"] = whole_body  # type: ignore[typeddict-unknown-key]
        self.scope["say_whole"] = self._say_whole  # type: ignore[typeddict-unknown-key]
        self._stage = "body"
        self._head_bytes, self._body_bytes, self._waited_seconds = 0, 0, 0.0

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_time()
        self._stage, self._head_bytes = None, 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """As uvicorn's, but for the timer: it goes on through all requests of a connection, and looks when it ends."""
        if self.pipeline or self.transport.is_closing():
            super().on_response_complete()
            return
        self.server_state.total_requests += 1
        self.flow.resume_reading()
        self._idle_since = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._end_if_idle_for(self.timeout_keep_alive)

    def _unset_keepalive_if_required(self) -> None:
        self._idle_since = None

    def _end_if_idle_for(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

    def timeout_keep_alive_handler(self) -> None:
        idle = 0.0 if self._idle_since is None else self.loop.time() - self._idle_since
        if idle < self.timeout_keep_alive:
            self._end_if_idle_for(self.timeout_keep_alive - idle)
        else:
            super().timeout_keep_alive_handler()

    def _say_whole(self, send: object, status: int, headers: Headers, body: bytes) -> bool:
        """A finished answer in one write, without a second look at headers that are our own; False where it cannot.

        `send` tells which request is answered, however many more of the connection are waiting by then. Another's
        `send`, who wants to see the answer or keeps it to itself, is left to it.
        """
        cycle = getattr(send, "__self__", None)
        if not isinstance(cycle, RequestResponseCycle) or cycle.scope["method"] == "HEAD":
            return False
        if cycle.response_started or cycle.disconnected or self.flow.write_paused:
            return False
        lines = b"\r\n".join(map(b": ".join, (*cycle.default_headers, *headers)))
        end = b"\r\n\r\n" if cycle.keep_alive else b"\r\nconnection: close\r\n\r\n"
        cycle.response_started = cycle.response_complete = True
        cycle.waiting_for_100_continue = False
        self.transport.write(b"".join((STATUS_LINE[status], lines, end, body)))
        cycle.message_event.set()
        if not cycle.keep_alive:
            self.transport.close()
        cycle.on_response()
        return True

    def _expect_head(self) -> None:
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


def whole_body(receive: object) -> bytes | None:
    """The body that is here to its end, without taking it away from `receive`; None where some of it may still come."""
    cycle = getattr(receive, "__self__", None)
    return None if not isinstance(cycle, RequestResponseCycle) or cycle.more_body else bytes(cycle.body)


def head_problem(url: bytes, headers: Sequence[tuple[bytes, bytes]], version: str) -> ApiError | None:
    """Names are in lower case. None for a head that is within the limits, and leaves no doubt of what is asked."""
    if len(url) > MAX_URL_BYTES:
        return url_too_long()
    if len(headers) > MAX_HEADERS:
        return headers_too_large()
    size = hosts = 0
    codings = []
    for name, value in headers:
        size += len(name) + len(value)
        if name == b"host":
            hosts += 1
        if name == b"transfer-encoding":
            codings.append(value.strip().lower())
        if name == b"content-encoding" and value.lower() not in (b"", b"identity"):
            problem = ApiError(415, "unsupported_media_type", "a body is sent as it is, without a coding")
            problem.headers["Accept-Encoding"] = "identity"
            return problem
    if hosts > 1 or (hosts == 0 and version != "1.0"):
        return invalid("Host", f"is sent once, not {hosts} times")
    if codings not in ([], [b"chunked"]):
        return invalid("Transfer-Encoding", "is chunked and nothing else, or left out")
    return headers_too_large() if size > MAX_HEADER_BYTES else None


def url_too_long() -> ApiError:
    return ApiError(414, "url_too_long", f"a URL has at most {MAX_URL_BYTES} bytes")


def headers_too_large() -> ApiError:
    limits = f"a request has at most {MAX_HEADERS} headers of {MAX_HEADER_BYTES} bytes together"
    return ApiError(431, "headers_too_large", limits)


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
