"""Lists: keyset cursors, `limit`, `fields=` and the `Link` header."""

import base64
from collections.abc import Sequence
from typing import Annotated, Any, TypeVar
from urllib.parse import urlencode

import msgspec
from litestar import Request, Response
from litestar.params import QueryParameter

from services.gateway.page_queries import Keyset
from services.gateway.problems import invalid
from services.gateway.reads import Listing
from services.gateway.views import Page

T = TypeVar("T")
K = TypeVar("K", bound=msgspec.Struct)

DEFAULT_LIMIT = 50
MAX_LIMIT = 200

Limit = Annotated[int, QueryParameter(ge=1, le=MAX_LIMIT, description="Items a page.")]
Cursor = Annotated[
    str | None, QueryParameter(format="cursor", max_length=200, description="`next_cursor` of the page before.")
]
FieldNames = Annotated[str | None, QueryParameter(max_length=500, description="Comma-separated; `id` is always there.")]


def encode_cursor(path: str, place: msgspec.Struct) -> str:
    """`path` is that of the list."""
    return base64.urlsafe_b64encode(msgspec.json.encode((path, place))).rstrip(b"=").decode()


def decode_cursor(path: str, cursor: str | None, kind: type[K] = Keyset) -> K | None:  # type: ignore[assignment]
    """Raises `ApiError` 400 for anything that was not handed out as a cursor of this list."""
    if cursor is None:
        return None
    try:
        padded = cursor.encode() + b"=" * (-len(cursor) % 4)
        of, place = msgspec.json.decode(base64.urlsafe_b64decode(padded), type=tuple[str, kind])  # type: ignore[valid-type]
    except (ValueError, msgspec.MsgspecError):
        of = None
    if of != path:
        raise invalid("cursor", "not a cursor of this list; start again without one")
    return place


def after(request: Request[Any, Any, Any], cursor: str | None) -> Keyset | None:
    """Where the page before ended; None for the first."""
    return decode_cursor(request.url.path, cursor)


def chosen(items: Sequence[Any], names: str | None, cls: type) -> list[Any]:
    """The items, cut down to the named fields."""
    if names is None:
        return list(items)
    wanted = names.split(",")
    known = cls.__struct_fields__  # type: ignore[attr-defined]
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise invalid("fields", f"no such field: {', '.join(unknown)}; there are {', '.join(known)}")
    return [{name: getattr(item, name) for name in dict.fromkeys(("id", *wanted))} for item in items]


def continued(request: Request[Any, Any, Any], items: list[Any], cursor: str | None) -> Response[Page[Any]]:
    """The items, and where the next page is."""
    return Response(Page(items=items, next_cursor=cursor), headers=next_page(request, cursor))


def next_page(request: Request[Any, Any, Any], cursor: str | None) -> dict[str, str]:
    """The header that leads there; none on the last page."""
    if cursor is None:
        return {}
    kept = [(name, value) for name, value in request.query_params.multi_items() if name != "cursor"]
    return {"Link": f'<{request.url.path}?{urlencode([*kept, ("cursor", cursor)])}>; rel="next"'}


def page(request: Request[Any, Any, Any], listing: Listing[T], names: str | None, cls: type[T]) -> Response[Page[Any]]:
    cursor = None if listing.after is None else encode_cursor(request.url.path, listing.after)
    return continued(request, chosen(listing.items, names, cls), cursor)
