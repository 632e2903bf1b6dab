"""Conditional requests (RFC 9110, 13): `If-None-Match` spares the body, `If-Match` the lost update."""

import hashlib
from typing import Any

import msgspec
from litestar import Request

from services.gateway.encodings import CODINGS, IDENTITY
from services.gateway.problems import ApiError

TAG_BYTES = 12


def tag_of(body: bytes) -> str:
    """Names the content, whatever its coding."""
    return hashlib.blake2b(body, digest_size=TAG_BYTES).hexdigest()


def etag(tag: str, coding: str = IDENTITY) -> str:
    """Strong: another coding has other bytes, so another tag."""
    return f'"{tag}"' if coding == IDENTITY else f'"{tag}-{coding}"'


def names(header: str, wanted: str) -> bool:
    """Whether the list of `If-None-Match` has this tag: weak comparison, as that header asks for."""
    if header.strip() == "*":
        return True
    return any(part.strip().removeprefix("W/") == wanted for part in header.split(","))


def check_if_match(request: Request[Any, Any, Any], current: msgspec.Struct) -> bool:
    """Raises `ApiError` 412 when the caller has seen something else than `current`, in any coding.

    True when the caller named what it has seen: then the command must not overtake another one either.
    """
    header = request.headers.get("if-match")
    if header is None or header.strip() == "*":
        return False
    tag = tag_of(msgspec.json.encode(current))
    seen = {part.strip() for part in header.split(",")}
    if seen.isdisjoint(etag(tag, coding) for coding in (IDENTITY, *CODINGS)):
        raise ApiError(412, "precondition_failed", "it has changed since you read it; read it again")
    return True
