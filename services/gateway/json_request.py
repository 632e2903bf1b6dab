"""How a route reads its request: by the letter of the API's description.

The framework would take `0` for `false`, `"2"` for a number, `null` in a query for nothing, and any media type for
JSON.
"""

from functools import cache
from typing import Any, get_args
from urllib.parse import parse_qsl

import msgspec
from litestar import Request

from services.gateway.problems import ApiError, body_error, invalid

JSON = "application/json"


class JsonRequest(Request[Any, Any, Any]):
    async def json(self) -> Any:
        """The body, straight as what the route takes. Raises `ApiError` 415 and 400."""
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


async def refuse_null(request: Request[Any, Any, Any]) -> None:
    """Raises `ApiError` 400 for `null` as the value of a parameter that is no text."""
    if b"=null" not in request.scope["query_string"]:
        return
    fields = request.route_handler.parsed_fn_signature.parameters
    for name, value in parse_qsl(request.scope["query_string"].decode("latin-1")):
        if value == "null" and name in fields and not takes_text(fields[name].annotation):
            raise invalid(name, "is no value; leave the parameter out")
