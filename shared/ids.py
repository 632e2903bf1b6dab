"""Identifiers: UUIDv7 (RFC 9562) for what is new, UUIDv5 for what follows from something else."""

import os
import time
from uuid import UUID, uuid5

NAMESPACE = UUID("5f0a4c6e-2f0d-5c53-9d0e-7c0b6f1d7a11")


def new_id(unix_ms: int | None = None, entropy: bytes | None = None) -> UUID:
    """A UUIDv7: 48 bits of Unix milliseconds, then 74 random bits."""
    ms = time.time_ns() // 1_000_000 if unix_ms is None else unix_ms
    tail = int.from_bytes(os.urandom(10) if entropy is None else entropy, "big")
    high = (ms & 0xFFFF_FFFF_FFFF) << 16 | 0x7000 | (tail >> 68)
    low = 0b10 << 62 | tail & 0x3FFF_FFFF_FFFF_FFFF
    return UUID(int=high << 64 | low)


def derived_id(*cause: str) -> UUID:
    """The id that always follows from `cause`; lengths are part of the name, so parts cannot run together."""
    return uuid5(NAMESPACE, "\x00".join(f"{len(part)}:{part}" for part in cause))


def fix_id(repository: str, external_id: str) -> UUID:
    """The id of the fix that `repository` knows as `external_id`: unique without asking any store."""
    return derived_id("fix", repository, external_id)
