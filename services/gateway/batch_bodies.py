"""What a batch of reads asks, and what it gets."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

MOST_READS = 50


class ReadBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    path: Annotated[str, Meta(min_length=1, max_length=4096, pattern="^/[!-~]*$")]
    if_none_match: Annotated[str, Meta(max_length=200, pattern="^[!-~ ]*$")] | None = None


class BatchBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    reads: Annotated[tuple[ReadBody, ...], Meta(min_length=1, max_length=MOST_READS)]


class BatchAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One read's answer, as it would have come alone."""

    status: int
    headers: dict[str, str]
    body: Any


class BatchAnswers(msgspec.Struct, frozen=True, kw_only=True):
    items: list[BatchAnswer]
