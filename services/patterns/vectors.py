"""Vectors as pgvector sends them, in binary: what is read and written for every fix is never spelled out as text."""

import struct
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

# As many as a sparse vector of pgvector may have, so that two terms hardly ever share one.
PATH_BUCKETS = 1_000_000_000

_DENSE = struct.Struct(">hh")
_SPARSE = struct.Struct(">iii")


async def speak_vectors(connection: Any) -> None:
    """Arguments come as `half` and `sparse` make them, for an array of arrays would be taken for one of two dimensions.

    A `halfvec` is read as (n,) float32.
    """
    for name, decoder in (("halfvec", from_half), ("sparsevec", bytes)):
        await connection.set_type_codec(name, schema="public", encoder=bytes, decoder=decoder, format="binary")


def half(vector: NDArray[np.float32]) -> bytes:
    return _DENSE.pack(len(vector), 0) + vector.astype(">f2").tobytes()


def from_half(data: bytes) -> NDArray[np.float32]:
    return np.frombuffer(data, ">f2", offset=_DENSE.size).astype(np.float32)


def sparse(paths: Mapping[str, float]) -> bytes | None:
    """Null when there are no terms. Indices must rise; they count from 0 here and from 1 in pgvector's own text."""
    weights: dict[int, float] = {}
    for term, weight in paths.items():
        weights[_bucket(term)] = weights.get(_bucket(term), 0.0) + weight
    if not weights:
        return None
    buckets = sorted(weights)
    n = len(buckets)
    values = (weights[bucket] for bucket in buckets)
    return _SPARSE.pack(PATH_BUCKETS, n, 0) + struct.pack(f">{n}i{n}f", *buckets, *values)


@lru_cache(maxsize=1 << 16)
def _bucket(term: str) -> int:
    return crc32(term.encode()) % PATH_BUCKETS
