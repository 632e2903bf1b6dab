"""How a route reads its request: by the letter of the API's description.

The framework would take `0` for `false`, `"2"` for a number, `null` in a query for nothing, any media type for JSON,
and would pass over a parameter that it does not know: a typo in a filter would widen it to everything.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any, get_args
from urllib.parse import parse_qsl

import msgspec
from litestar import Request
from litestar.exceptions.http_exceptions import RequestEntityTooLarge
from litestar.params import QueryParameter
from litestar.typing import FieldDefinition

from services.gateway.problems import ApiError, body_error, invalid
from services.gateway.submission import MAX_BODY_BYTES

JSON = "application/json"
# Who asks beside it, such as a probe or a browser, may add what it likes.
API = "/v1/"
TOO_LARGE = f"a body has at most {MAX_BODY_BYTES} bytes: split it, or send a change's features in place of its diff"


class JsonRequest(Request[Any, Any, Any]):
    async def body(self) -> bytes:
        """Raises `ApiError` 413."""
        try:
            return await super().body()
        except RequestEntityTooLarge as error:
            raise ApiError(413, "too_large", TOO_LARGE, field="body") from error

    async def json(self) -> Any:
        """The body, straight as what the route takes. Raises `ApiError` 415, 413 and 400."""
        if media_type(self.headers.get("content-type", JSON)) != JSON:
            raise ApiError(415, "unsupported_media_type", f"the body is read as {JSON}; say so in Content-Type")
        return decoded(self.route_handler.parsed_fn_signature.parameters["data"].annotation, await self.body())


def decoded(annotation: Any, body: bytes) -> Any:
    """Raises `ApiError` 400 for what does not fit, and `msgspec.MsgspecError` for what is no JSON."""
    try:
        return decoder(annotation).decode(body)
    except UnicodeDecodeError as error:
        raise invalid("body", "is not UTF-8") from error
    except msgspec.ValidationError as error:
        raise body_error(error, body) from error


def media_type(header: str) -> str:
    """Without its parameters, in lower case."""
    return header.partition(";")[0].strip().lower()


@cache
def decoder(annotation: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(annotation)


def takes_text(annotation: Any) -> bool:
    return str in (annotation, *get_args(annotation))


def of_query(fields: Mapping[str, FieldDefinition]) -> dict[str, FieldDefinition]:
    """What a route takes in its query, by the names that it has there."""
    found = [(field, field.kwarg_definition) for field in fields.values()]
    return {known.name or field.name: field for field, known in found if isinstance(known, QueryParameter)}


async def check_query(request: Request[Any, Any, Any]) -> None:
    """Raises `ApiError` 400 for a parameter that the route does not take, for one that comes twice, and for `null` as
    the value of one that is no text.
    """
    query = request.scope["query_string"]
    if not query or not request.scope["path"].startswith(API):
        return
    known = of_query(request.route_handler.parsed_fn_signature.parameters)
    seen = set()
    for name, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
        if name not in known:
            raise invalid(name, f"is no parameter here; known are {', '.join(known) or 'none'}")
        if name in seen:
            raise invalid(name, "has one value; send it once")
        if value == "null" and not takes_text(known[name].annotation):
            raise invalid(name, "is no value; leave the parameter out")
        seen.add(name)
