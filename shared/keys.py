"""API keys: `pk_` + public prefix + secret + checksum. Only the hash is ever stored."""

import hashlib
import secrets
import zlib
from typing import Literal, get_args

import msgspec

Scope = Literal["read", "submit", "report", "vote", "operate"]
SCOPES: tuple[Scope, ...] = get_args(Scope)

PREFIX_LENGTH = 8
SECRET_LENGTH = 40
CHECKSUM_LENGTH = 8
LENGTH = 3 + PREFIX_LENGTH + SECRET_LENGTH + CHECKSUM_LENGTH


class NewKey(msgspec.Struct, frozen=True):
    """`text` is shown once; `prefix` names the key in lists and logs; `digest` is what is stored."""

    text: str
    prefix: str
    digest: bytes


def digest(text: str) -> bytes:
    """SHA-256. A slow hash is for guessable passwords; a key has 160 random bits."""
    return hashlib.sha256(text.encode()).digest()


def _checksum(body: str) -> str:
    return f"{zlib.crc32(body.encode()):08x}"


def new_key() -> NewKey:
    prefix, secret = secrets.token_hex(PREFIX_LENGTH // 2), secrets.token_hex(SECRET_LENGTH // 2)
    body = f"pk_{prefix}{secret}"
    text = body + _checksum(body)
    return NewKey(text, prefix, digest(text))


def well_formed(text: str) -> bool:
    """Tells a mistyped key from an unknown one without asking any store."""
    body, checksum = text[:-CHECKSUM_LENGTH], text[-CHECKSUM_LENGTH:]
    return len(text) == LENGTH and text.startswith("pk_") and checksum == _checksum(body)
