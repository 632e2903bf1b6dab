"""Parameters that several routes share: each with its bounds, which the description of the API repeats."""

import re
from datetime import UTC, datetime
from typing import Annotated

import msgspec
from litestar.params import HeaderParameter, PathParameter, QueryParameter

from services.gateway.bodies import NO_NUL
from services.gateway.problems import invalid
from services.gateway.submission import EARLIEST

Filter = Annotated[str | None, QueryParameter(max_length=500, pattern=NO_NUL)]
Words = Annotated[
    str | None,
    QueryParameter(max_length=200, pattern=NO_NUL, description="Words, all of which have to be there."),
]
# As text: what the framework makes of a time may lack its offset.
InstantText = Annotated[str | None, QueryParameter(format="date-time", max_length=40)]
Version = Annotated[str, PathParameter(max_length=100, pattern=NO_NUL)]
Name = Annotated[str, PathParameter(max_length=100, pattern=NO_NUL)]
IdempotencyKey = Annotated[
    str | None, HeaderParameter(name="Idempotency-Key", required=False, min_length=1, max_length=255)
]
IfMatch = Annotated[str | None, HeaderParameter(name="If-Match", required=False, max_length=1000)]

WORD = re.compile(r"[^\W_]+")
LATEST = datetime(9999, 1, 1, tzinfo=UTC)


def instant(name: str, text: str | None) -> datetime | None:
    """Raises `ApiError` 400 for what is no RFC 3339 time with its offset."""
    if text is None:
        return None
    try:
        # A plus that was not escaped arrives as a space.
        at: datetime = msgspec.convert(text.replace(" ", "+"), Annotated[datetime, msgspec.Meta(tz=True)])
    except msgspec.ValidationError:
        raise invalid(name, "is no RFC 3339 time with its offset, such as 2026-11-24T00:20:05Z") from None
    # Postgres and Python end at different years; nothing was submitted in either.
    return min(max(at, EARLIEST), LATEST)


def search(q: str | None) -> str | None:
    """As Postgres reads a search for words: all of them. Without any it finds nothing."""
    return None if q is None else " & ".join(WORD.findall(q))
