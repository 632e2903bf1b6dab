"""nats-py's client without its waiting rooms: what comes goes straight to its reader, what goes is written together.

The library hands a message to a queue and a task that empties it, and what is said to a task that writes; a request
takes a random token, a timer and a task more. Each is a turn of the loop that somebody waits for: together almost half
of a question's way to another process and back. Connecting, signing in, TLS, reconnecting and the protocol stay the
library's. Nobody promised to keep what is overridden; `test_nats_client.py` notices a version that calls it no more.
"""

import asyncio
import itertools
import re
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from typing import Any, NamedTuple

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.protocol.command import hpub_cmd

NO_RESPONDERS = "503"
# Headers of which nothing has to be mended, as ours are: one of those that came, and all that go.
PLAIN_HEADER = re.compile(r"^([!-9;-~]+): ([!-~]*)\r\n", re.MULTILINE)
PLAIN_HEADERS = re.compile(r"(?:[-0-9A-Za-z]+: [!-~]*\r\n)*")


class Delivered(NamedTuple):
    """Which delivery of a message this is, counted from 1, and its place in the stream and among the consumer's."""

    tries: int
    stream_sequence: int
    consumer_sequence: int


def delivered_as(message: Msg) -> Delivered:
    """What of `message.metadata` is asked for with every message, in half of its time.

    Raises `nats.js.errors.NotJSMessageError`.
    """
    tokens = message.reply.split(".")
    if tokens[:2] != ["$JS", "ACK"] or len(tokens) < 9:
        raise nats.errors.NotJSMessageError
    # Servers put a domain and an account before them, and the older ones do not.
    first = 4 if len(tokens) == 9 else 6
    return Delivered(*map(int, tokens[first : first + 3]))


class NatsClient(Client):
    """As nats-py's, and `hear` beside `subscribe`."""

    def __init__(self) -> None:
        super().__init__()
        # By the number of the subscription.
        self._straight: dict[int, Callable[[Msg], None]] = {}
        # By the number of the question.
        self._asked: dict[str, asyncio.Future[Msg]] = {}
        self._numbers = itertools.count()
        self._inbox: str | None = None
        self._writing = False

    @cached_property
    def _loop(self) -> asyncio.AbstractEventLoop:
        """Asked for once: before Python 3.12 the question is a system call."""
        return asyncio.get_running_loop()

    async def hear(self, subject: str, queue: str, take: Callable[[Msg], None]) -> Subscription:
        """`take` is called as soon as a message is read, and must neither wait nor raise."""
        subscription = await self.subscribe(subject, queue=queue)
        self._straight[subscription._id] = take
        return subscription

    async def _send_publish(
        self, subject: str, reply: str, payload: bytes, payload_size: int, headers: dict[str, Any] | None
    ) -> None:
        """The library looks at each header by itself, which takes as long as the rest."""
        lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()]) if headers else ""
        # A value that has lines of its own would make more of them.
        if headers is None or lines.count("\n") > len(headers) or not PLAIN_HEADERS.fullmatch(lines):
            await super()._send_publish(subject, reply, payload, payload_size, headers)
            return
        said = hpub_cmd(subject, reply, f"NATS/1.0\r\n{lines}\r\n".encode(), payload)
        self.stats["out_msgs"] += 1
        self.stats["out_bytes"] += payload_size
        await self._send_command(said)
        await self._flush_pending()

    @staticmethod
    def _parse_header_lines(raw: bytes) -> dict[str, str]:
        found = PLAIN_HEADER.findall(raw.decode("latin-1"))
        # The last line is empty.
        whole = len(found) == raw.count(b"\n") - 1
        return dict(found) if whole else Client._parse_header_lines(raw)

    def _remove_sub(self, sid: int, max_msgs: int = 0) -> None:
        super()._remove_sub(sid, max_msgs)
        self._straight.pop(sid, None)

    async def leave(self, subscription: Subscription) -> None:
        """What the server has sent until it hears of this still comes."""
        await subscription.drain()  # type: ignore[no-untyped-call]

    async def request(
        self,
        subject: str,
        payload: bytes = b"",
        timeout: float = 0.5,
        old_style: bool = False,
        headers: dict[str, Any] | None = None,
    ) -> Msg:
        """Raises what nats-py's own does: `TimeoutError` and `NoRespondersError` of `nats.errors`, and its others."""
        if self._inbox is None:
            # Only once it is heard: where that fails, the next one tries again.
            inbox = f"{self.new_inbox()}."
            await self.hear(f"{inbox}*", "", self._answered)
            self._inbox = inbox
        number = str(next(self._numbers))
        answer: asyncio.Future[Msg] = self._loop.create_future()
        self._asked[number] = answer
        late = self._loop.call_later(timeout, _too_late, answer)
        try:
            await self.publish(subject, payload, self._inbox + number, headers)
            message = await answer
        finally:
            late.cancel()
            del self._asked[number]
        if message.headers and message.headers.get("Status") == NO_RESPONDERS:
            raise nats.errors.NoRespondersError
        return message

    def _answered(self, message: Msg) -> None:
        answer = self._asked.get(message.subject.rpartition(".")[2])
        if answer is not None and not answer.done():
            answer.set_result(message)

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        take = self._straight.get(sid)
        if take is None:
            await super()._process_msg(sid, subject, reply, data, headers)
        else:
            read = await self._process_headers(headers) if headers else None
            take(self._build_message(sid, subject, reply, data, read))

    async def _flush_pending(self, force_flush: bool = False) -> Any:
        """What is said in one turn of the loop is written in one call: a system call costs more than a message."""
        transport = self._transport
        if force_flush or not self.is_connected or transport is None:
            return await super()._flush_pending(force_flush)
        if not self._writing:
            self._writing = True
            self._loop.call_soon(self._write)
        # Waits only where the server takes no more.
        await transport.drain()  # type: ignore[no-untyped-call]
        return None

    async def _send_ping(self, future: asyncio.Future[bool] | None = None) -> None:
        """Behind all that was said before: who waits for its answer takes that for heard."""
        self._write()
        await super()._send_ping(future)

    def _write(self) -> None:
        """Where the connection has gone meanwhile, its reader finds out, and what was said goes over the next one."""
        self._writing = False
        transport = self._transport
        if self._pending and self.is_connected and transport is not None:
            with suppress(OSError, RuntimeError):
                transport.writelines(self._pending)
                self._pending, self._pending_data_size = [], 0


def _too_late(answer: asyncio.Future[Msg]) -> None:
    if not answer.done():
        answer.set_exception(nats.errors.TimeoutError())
