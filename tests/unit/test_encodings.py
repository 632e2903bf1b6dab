"""Content codings: which one, and that its bytes are the body."""

import gzip

import brotli
import pytest
import zstandard

from services.gateway.encodings import CODINGS, IDENTITY, MIN_BYTES, choose, compressible, encode

LONG = MIN_BYTES
DECODERS = {"zstd": zstandard.decompress, "br": brotli.decompress, "gzip": gzip.decompress}


@pytest.mark.parametrize(
    ("accept", "coding"),
    [
        (b"gzip, deflate, br, zstd", "zstd"),
        (b"gzip, br", "br"),
        (b"gzip", "gzip"),
        (b"x-gzip", "gzip"),
        (b"GZIP;Q=0.4", "gzip"),
        (b"gzip;q=1.0, zstd;q=0.5", "gzip"),
        (b"zstd;q=0, br;q=0, *", "gzip"),
        (b"*", "zstd"),
        (b"*;q=0", IDENTITY),
        (b"gzip;q=0.5, identity", IDENTITY),
        (b"identity;q=0.5, gzip;q=0.5", "gzip"),
        (b"deflate, compress", IDENTITY),
        (b"gzip;q=0", IDENTITY),
        (b"gzip;q=nonsense", IDENTITY),
        (b"", IDENTITY),
        (b", ;,;;=", IDENTITY),
        (None, IDENTITY),
    ],
)
def test_the_client_s_preference_wins_and_then_ours(accept: bytes | None, coding: str) -> None:
    assert choose(accept, LONG) == coding


def test_a_small_body_is_left_as_it_is() -> None:
    assert choose(b"gzip", MIN_BYTES - 1) == IDENTITY


@pytest.mark.parametrize("coding", CODINGS)
def test_a_coded_body_decodes_to_itself_and_is_the_same_each_time(coding: str) -> None:
    body = b'{"items":[' + b'{"a":1},' * 400 + b"{}]}"
    assert DECODERS[coding](encode(body, coding)) == body
    assert encode(body, coding) == encode(body, coding)
    assert len(encode(body, coding)) < len(body) / 10


@pytest.mark.parametrize(
    ("content_type", "coding", "yes"),
    [
        (b"application/json", None, True),
        (b"application/problem+json", None, True),
        (b"text/plain; charset=utf-8", None, True),
        (b"image/png", None, False),
        (b"application/json", b"gzip", False),
    ],
)
def test_only_text_that_nobody_has_coded_yet_is_coded(content_type: bytes, coding: bytes | None, yes: bool) -> None:
    headers = [(b"content-type", content_type)] + ([(b"content-encoding", coding)] if coding else [])
    assert compressible(headers) is yes
