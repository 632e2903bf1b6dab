"""A finished answer: its body in each coding, made once, with the headers that belong to it."""

import msgspec
import zstandard

from services.gateway.conditional import etag, names, tag_of
from services.gateway.encodings import IDENTITY, choose, compressible, encode

Headers = list[tuple[bytes, bytes]]

# Told with every answer. A shared cache keeps nothing; a private one asks whether it is still true.
COMMON: Headers = [
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"private, no-cache"),
    (b"vary", b"Authorization, Accept-Encoding"),
]
PACKING = "zstd"


class Answer(msgspec.Struct, frozen=True, gc=False):
    status: int
    headers: Headers
    body: bytes


class Variant(msgspec.Struct, frozen=True):
    """One coding of a representation, as it goes out; `unchanged` is the 304 of whoever has it already."""

    etag: str
    whole: Answer
    unchanged: Answer

    def answer(self, if_none_match: bytes | None) -> Answer:
        if if_none_match is not None and names(if_none_match.decode("latin-1"), self.etag):
            return self.unchanged
        return self.whole


class Representation:
    """What a success says: `body` without any coding, `headers` without those of the coding."""

    def __init__(self, body: bytes, headers: Headers, status: int = 200) -> None:
        self.body, self.headers, self.status = body, headers, status
        self._tag = tag_of(body)
        self._compressible = compressible(headers)
        self._variants: dict[str, Variant] = {}

    @classmethod
    def unpacked(cls, headers: Headers, packed: bytes) -> "Representation":
        """Raises `zstandard.ZstdError` for what `packed` has not made."""
        made = cls(zstandard.decompress(packed), headers)
        made._variants[PACKING] = made._with(PACKING, packed)
        return made

    def packed(self) -> bytes:
        return encode(self.body, PACKING)

    def variant(self, accept: bytes | None) -> Variant:
        coding = choose(accept, len(self.body)) if self._compressible else IDENTITY
        known = self._variants.get(coding)
        if known is None:
            known = self._variants[coding] = self._with(coding, encode(self.body, coding))
        return known

    def _with(self, coding: str, body: bytes) -> Variant:
        tag = etag(self._tag, coding)
        told = [(b"etag", tag.encode()), *COMMON]
        headers = [*self.headers, *length_and_coding(body, coding), *told]
        return Variant(tag, Answer(self.status, headers, body), Answer(304, told, b""))


def length_and_coding(body: bytes, coding: str) -> Headers:
    length = (b"content-length", str(len(body)).encode())
    return [length] if coding == IDENTITY else [length, (b"content-encoding", coding.encode())]
