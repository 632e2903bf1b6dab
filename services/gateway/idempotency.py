"""`Idempotency-Key`, told early: a repeat while the first is under way, or with another payload.

What keeps a repeat from doing anything twice is the id, derived from the key (`submission.command_id`). Redis only
spares the caller the wait, so losing it loses two friendly answers and doubles nothing.
"""

import hashlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from services.gateway.claims import Claims
from services.gateway.submission import MAX_BODY_BYTES, MAX_KEY_LENGTH
from shared.ids import derived_id

# The argument of a route that takes a key.
TAKES = "idempotency_key"

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]


class Idempotent:
    """Inside the application, after routing: claims the key for every route that takes one."""

    def __init__(self, app: ASGIApp, claims: Claims) -> None:
        self._app, self._claims = app, claims

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        key = key_of(scope)
        if key is None:
            await self._app(scope, receive, send)
            return
        body = await whole(receive)
        print_ = fingerprint(scope, body)
        name = f"idempotency:{derived_id(scope['principal'].name, scope['path'], key)}"
        first = await self._claims.claim(name, print_)
        status = 500

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, again(body, receive), answer)
        finally:
            if first:
                await self._claims.settle(name, print_, status)


def key_of(scope: Scope) -> str | None:
    """None also for a key that the route will refuse."""
    if scope["type"] != "http" or TAKES not in scope["route_handler"].parsed_fn_signature.parameters:
        return None
    found: bytes | None = next((value for header, value in scope["headers"] if header == b"idempotency-key"), None)
    return found.decode("latin-1") if found is not None and 0 < len(found) <= MAX_KEY_LENGTH else None


async def whole(receive: Receive) -> list[Message]:
    """The messages of the body, up to the one that ends it, or that makes it longer than any that is accepted."""
    messages: list[Message] = []
    size, more = 0, True
    while more and size <= MAX_BODY_BYTES:
        messages.append(await receive())
        size += len(messages[-1].get("body", b""))
        more = messages[-1].get("more_body", False)
    return messages


def again(messages: list[Message], receive: Receive) -> Receive:
    """Says them again, and then goes on."""
    waiting = iter(messages)

    async def replayed() -> Message:
        said = next(waiting, None)
        return await receive() if said is None else said

    return replayed


def fingerprint(scope: Scope, messages: list[Message]) -> bytes:
    digest = hashlib.sha256(scope["query_string"])
    for message in messages:
        digest.update(message.get("body", b""))
    return digest.hexdigest().encode()
