"""The OpenAPI 3.1 description, made from the routes: their guards, signatures and docstrings, and `answers.py`."""

import re
from collections.abc import Iterable
from typing import Any, get_args, get_origin

import msgspec
from litestar import Response
from litestar.handlers import HTTPRouteHandler
from litestar.response.streaming import ASGIStreamingResponse

from services.gateway.answers import OPERATIONS, TAGS, Text
from services.gateway.codes import CODES
from services.gateway.finishing import TAGGED
from services.gateway.guards import Requires
from services.gateway.parameters import IF_NONE_MATCH, from_signature, without_none
from services.gateway.responses import (
    LIMITS,
    example_components,
    failure_components,
    failure_ref,
    header_components,
    json_of,
    page_of,
    success,
    text_of,
)
from services.gateway.schemas import Schema, components, example, part_of, ref
from services.gateway.views import Page, ProblemDetails

VERSION = "0.1.0"
INFO = {
    "title": "Precedent",
    "version": VERSION,
    "summary": "Judges fixes proposed by coding agents by precedent.",
    "description": "For every proposed fix: a calibrated probability that the change will hold, what kind of change it "
    "is, and what was learned about its like. Errors are RFC 9457 problems with a stable `code`; `null` is not known. "
    "Fields and query parameters that an operation does not take are refused, and so is a parameter given twice. "
    "What is wrong before it is a request is refused for every path: 408 `request_timeout`, 414 `url_too_long`, "
    "431 `headers_too_large`.",
}
# The statuses that INFO speaks of.
OF_THE_WIRE = frozenset({408, 414, 431})
SECURITY = {
    "key": {"type": "http", "scheme": "bearer", "description": "An API key: `pk_…`. Each call names its scope."}
}

# Codes that follow from the shape of a route.
# Whatever its parameters are, another one is refused.
WITH_KEY = ("unauthenticated", "forbidden", "overloaded", "rate_limited", "store_unavailable", "invalid_request")
WITH_BODY = ("too_large", "unsupported_media_type")
WITH_IDEMPOTENCY_KEY = ("idempotency_in_progress", "idempotency_mismatch")
WITH_FIELD = {"agent_id": "agent_not_allowed", "diff": "invalid_diff"}


def document(handlers: Iterable[HTTPRouteHandler]) -> dict[str, Any]:
    """Raises `KeyError` for a route without its line in `OPERATIONS`, and for a field without its glossary."""
    routes = [Route(handler) for handler in handlers]
    schemas = components(
        requests=[cls for route in routes for cls in route.sent],
        answers=[ProblemDetails, *(cls for route in routes for cls in route.answered)],
    )
    schemas |= {f"{name}Part": part_of(schemas[name]) for route in routes for name in route.cut_down}
    schemas["ProblemDetails"]["properties"]["code"]["enum"] = sorted(CODES)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method] = route.described(schemas)
    return {
        "openapi": "3.1.0",
        "info": INFO,
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "responses": failure_components(codes for route in routes for codes in route.problems().values()),
            "headers": header_components(),
            "examples": example_components(),
            "securitySchemes": SECURITY,
        },
    }


class Route:
    """One operation: what its handler says of itself, and its line in `OPERATIONS`."""

    def __init__(self, handler: HTTPRouteHandler) -> None:
        self._handler = handler
        self.name = handler.handler_name
        self._line = OPERATIONS[self.name]
        [self._template] = handler.paths
        self.path = re.sub(r"\{(\w+):\w+\}", r"{\1}", self._template)
        [method] = handler.http_methods
        self.method = method.lower()
        self.scope = next((guard.scope for guard in handler.guards or () if isinstance(guard, Requires)), None)
        fields = handler.parsed_fn_signature.parameters
        self._body = fields.get("data")
        self._parameters = [found for found in map(from_signature, fields.values()) if found]

    @property
    def sent(self) -> list[Any]:
        """The type of the request's body, if it has one."""
        if self._line.request:
            return [self._line.request.line]
        return [without_none(self._body.annotation)] if self._body else []

    @property
    def _declared(self) -> Any:
        return self._handler.parsed_fn_signature.return_type.annotation

    @property
    def _answers(self) -> dict[int, tuple[Any, ...]]:
        said = get_args(self._declared)[0] if get_origin(self._declared) is Response else self._declared
        return dict(self._line.answers) or {int(self._handler.status_code): (said,)}

    @property
    def answered(self) -> list[Any]:
        """The types of the bodies of its answers."""
        types = [cls.line if isinstance(cls, Text) else cls for found in self._answers.values() for cls in found]
        return [cls for cls in types if cls not in (None, type(None))]

    @property
    def cut_down(self) -> list[str]:
        """The type of the items of a list that takes `fields`."""
        if not self._takes("fields"):
            return []
        return [get_args(cls)[0].__name__ for cls in self.answered if get_origin(cls) is Page]

    def _takes(self, parameter: str) -> bool:
        return any(found["name"] == parameter for found in self._parameters)

    def problems(self) -> dict[int, list[str]]:
        """Codes by status."""
        codes = [*(WITH_KEY if self.scope else ()), *(WITH_BODY if self._body else ()), *self._line.problems]
        codes += WITH_IDEMPOTENCY_KEY if self._takes("Idempotency-Key") else ()
        codes += ["not_found"] if "{" in self._template else []
        if self._body:
            _, parts = msgspec.json.schema_components(self.sent)
            fields = {name for part in parts.values() for name in part.get("properties", ())}
            codes += [code for field, code in WITH_FIELD.items() if field in fields]
        found: dict[int, list[str]] = {}
        for code in sorted(set(codes)):
            found.setdefault(CODES[code].status, []).append(code)
        return found

    def described(self, schemas: dict[str, Schema]) -> dict[str, Any]:
        summary, _, rest = " ".join((self._handler.fn.__doc__ or "").split()).partition(". ")
        if not summary:
            raise KeyError(f"{self.name}: its docstring is its summary")
        answers = self._failures() | self._successes() | self._unchanged()
        return {
            "operationId": self.name,
            "tags": [self._line.tag],
            "summary": summary.rstrip("."),
            "description": " ".join(text for text in (rest or summary, self._line.note) if text),
            "parameters": [self._parameter(found, schemas) for found in self._parameters]
            + ([IF_NONE_MATCH] if self._unchanged() else []),
            "security": [{"key": [self.scope]}] if self.scope else [],
            **self._request(schemas),
            "responses": {str(status): answers[status] for status in sorted(answers)},
        }

    def _parameter(self, found: dict[str, Any], schemas: dict[str, Schema]) -> dict[str, Any]:
        """`fields` takes the names that the items of this list have."""
        if found["name"] != "fields":
            return found
        name = f"({'|'.join(schemas[self.cut_down[0]]['properties'])})"
        return found | {"schema": found["schema"] | {"pattern": f"^{name}(,{name})*$"}}

    def _request(self, schemas: dict[str, Schema]) -> dict[str, Any]:
        if self._line.request:
            return {"requestBody": {"required": True, "content": text_of(self._line.request)}}
        if self._body is None:
            return {}
        [cls] = self.sent
        shown = {"typical": {"value": example(schemas[cls.__name__], schemas)}}
        content = {"application/json": {"schema": ref(cls), "examples": shown}}
        return {"requestBody": {"required": not self._body.is_optional, "content": content}}

    def _successes(self) -> dict[int, Any]:
        headers = [*self._line.headers, *(["Link"] if self._takes("cursor") else []), *(LIMITS if self.scope else ())]
        tag = ["ETag"] if self._tagged else []
        return {
            status: success(status, self._content(types), [*(tag if status == 200 else []), *headers])
            for status, types in self._answers.items()
        }

    @property
    def _streamed(self) -> bool:
        return isinstance(self._declared, type) and issubclass(self._declared, ASGIStreamingResponse)

    @property
    def _tagged(self) -> bool:
        """Its `200` names its content. A stream has no end that could be named."""
        return self.method.upper() in TAGGED and not self._streamed

    def _unchanged(self) -> dict[int, Any]:
        if not self._tagged or self.method != "get":
            return {}
        return {304: success(304, {}, ["ETag", *(LIMITS if self.scope else ())])}

    def _content(self, types: tuple[Any, ...]) -> dict[str, Any]:
        if types == (type(None),):
            return {}
        if isinstance(types[0], Text):
            return text_of(types[0])
        return page_of(self.cut_down[0]) if self.cut_down else json_of(types)

    def _failures(self) -> dict[int, Any]:
        return {status: failure_ref(codes) for status, codes in self.problems().items()}
