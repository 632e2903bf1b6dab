"""Streaming fixes into `POST /v1/fixes/bulk`, a slice at a time."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from uuid import UUID

import click
import httpx
import msgspec

from cli.client import BUSY, TRIES, Api, Unreachable, accepted, pause_seconds

# What is kept to be sent again; small enough for its answers to wait in the socket until the last line is sent.
SLICE_LINES = 1_000
SLICE_BYTES = 16 << 20


class LineAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """`line` counts from 1; `problem` says why a line was rejected."""

    line: int
    id: UUID | None = None
    status: str
    problem: dict[str, Any] | None = None

    @property
    def is_final(self) -> bool:
        return (self.problem or {}).get("status") not in BUSY


class _NotThroughError(Exception):
    """The slice is not through, and may be tried again."""

    def __init__(self, why: object, retry_after: str | None = None) -> None:
        super().__init__(why)
        self.retry_after = retry_after


def slices(lines: Iterable[bytes]) -> Iterator[list[bytes]]:
    """As many lines as go into one request."""
    taken: list[bytes] = []
    size = 0
    for line in lines:
        if taken and (len(taken) == SLICE_LINES or size + len(line) > SLICE_BYTES):
            yield taken
            taken, size = [], 0
        taken.append(line)
        size += len(line)
    if taken:
        yield taken


def deliver(api: Api, lines: Sequence[bytes]) -> Iterator[LineAnswer]:
    """One final answer for each line, `line` being its place in `lines` (from 1).

    After a lost connection, or a "not now" for the request or for a line, only what has no answer yet is sent again:
    the server knows a fix by its `external_id`, so a line whose answer got lost comes back as existing.
    Raises `ApiError` for a refusal of the whole and `Unreachable` after `TRIES` tries without any progress.
    """
    waiting = dict(enumerate(lines, 1))
    attempt = 0
    while waiting:
        before = len(waiting)
        stopped: Exception = _NotThroughError("lines are left without an answer")
        try:
            for answer in _post(api, waiting):
                del waiting[answer.line]
                yield answer
        except (httpx.TransportError, _NotThroughError) as error:
            stopped = error
        attempt = attempt + 1 if len(waiting) == before else 0
        if attempt == TRIES:
            raise Unreachable(api.url, stopped) from stopped
        if waiting:
            click.echo(f"{len(waiting)} lines to send again: {stopped!r}", err=True)
            api.sleep(pause_seconds(attempt, getattr(stopped, "retry_after", None)))


def _post(api: Api, waiting: dict[int, bytes]) -> Iterator[LineAnswer]:
    numbers, lines = list(waiting), list(waiting.values())
    body = (line + b"\n" for line in lines)
    headers = {"Content-Type": "application/x-ndjson", "Accept": "application/x-ndjson"}
    with api.http.stream("POST", "/v1/fixes/bulk", content=body, headers=headers) as response:
        if response.status_code in BUSY:
            response.read()
            raise _NotThroughError(response.status_code, response.headers.get("Retry-After"))
        if response.is_error:
            response.read()
            accepted(response)
        for text in filter(None, response.iter_lines()):
            answer = msgspec.json.decode(text, type=LineAnswer)
            if answer.is_final:
                yield msgspec.structs.replace(answer, line=numbers[answer.line - 1])
