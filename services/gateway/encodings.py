"""Content codings: the one a client prefers (RFC 9110, 12.5.3), and the bytes in it."""

import gzip
from collections.abc import Callable
from functools import lru_cache

import brotli
import zstandard

IDENTITY = "identity"
# Below this a coding saves less than its headers and the work cost.
MIN_BYTES = 1024
# No browser's list is longer; what is cut off is a coding that nobody has.
MAX_HEADER = 256

COMPRESSIBLE = (
    b"application/json", b"application/problem+json", b"application/vnd.oai.openapi+json",
    b"application/vnd.aai.asyncapi+json", b"text/", b"application/javascript", b"image/svg",
)  # fmt: skip

_zstd = zstandard.ZstdCompressor(level=6)

# In the order of our preference, where the client has none. Levels: about a millisecond for 100 kB.
CODINGS: dict[str, Callable[[bytes], bytes]] = {
    "zstd": _zstd.compress,
    "br": lambda body: brotli.compress(body, quality=5),
    "gzip": lambda body: gzip.compress(body, compresslevel=6, mtime=0),
}


def encode(body: bytes, coding: str) -> bytes:
    return body if coding == IDENTITY else CODINGS[coding](body)


def choose(accept: bytes | None, length: int) -> str:
    """The coding for a body of `length` bytes. Where every coding is refused the answer is the plain body."""
    if accept is None or length < MIN_BYTES:
        return IDENTITY
    return preferred(accept[:MAX_HEADER])


def compressible(headers: list[tuple[bytes, bytes]]) -> bool:
    """Of what kind the body is, and whether nobody has coded it yet."""
    found = dict(headers)
    return b"content-encoding" not in found and found.get(b"content-type", b"").startswith(COMPRESSIBLE)


@lru_cache(maxsize=256)
def preferred(accept: bytes) -> str:
    weights = _weights(accept.decode("latin-1"))
    rest = weights.get("*", 0.0)
    best = max(CODINGS, key=lambda coding: weights.get(coding, rest))
    weight = weights.get(best, rest)
    return best if weight > 0 and weight >= weights.get(IDENTITY, 0.0) else IDENTITY


def _weights(accept: str) -> dict[str, float]:
    weights = {}
    for part in accept.lower().split(","):
        name, _, parameters = part.partition(";")
        weights[name.strip().removeprefix("x-")] = _quality(parameters)
    return weights


def _quality(parameters: str) -> float:
    name, _, value = parameters.strip().partition("=")
    if name.strip() != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0
