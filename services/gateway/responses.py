"""Bodies and headers of an operation's answers, as OpenAPI describes them."""

from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Any

from services.gateway.answers import Text
from services.gateway.codes import CODES
from services.gateway.glossary import GLOSSARY
from services.gateway.problems import MEDIA_TYPE, TYPE_BASE
from services.gateway.schemas import REF, ref

HEADERS = {
    "ETag": "Names this content: `If-None-Match` spares it next time, `If-Match` changes nothing else.",
    "Link": 'The next page, as `rel="next"`; absent on the last one.',
    "Location": "Where to ask for it.",
    "RateLimit": "What is left: tokens `r`, and seconds `t` until full, of each policy.",
    "RateLimit-Policy": "The policies that hold: limit `q` in `w` seconds.",
    "Retry-After": "Seconds after which trying again makes sense.",
    "WWW-Authenticate": "`Bearer`.",
    "X-RateLimit-Limit": "Of the tighter policy: its limit.",
    "X-RateLimit-Remaining": "Of the tighter policy: tokens left.",
    "X-RateLimit-Reset": "Of the tighter policy: seconds until it is full.",
}
LIMITS = tuple(name for name in HEADERS if "RateLimit" in name)
OPTIONAL = frozenset({"Link"})
WHOLE = frozenset({"Retry-After", *(name for name in LIMITS if name.startswith("X-"))})
# Of problems, by their status.
OF_PROBLEMS = {401: ("WWW-Authenticate",), 429: ("Retry-After",), 503: ("Retry-After",)}


def header_components() -> dict[str, Any]:
    return {
        name: {
            "description": text,
            "required": name not in OPTIONAL,
            "schema": {"type": "integer", "minimum": 0} if name in WHOLE else {"type": "string"},
        }
        for name, text in HEADERS.items()
    }


def success(status: int, content: dict[str, Any], headers: Iterable[str]) -> dict[str, Any]:
    return {"description": HTTPStatus(status).phrase, "headers": _headers(headers), "content": content}


def failure_ref(codes: Sequence[str]) -> dict[str, str]:
    return {"$ref": f"#/components/responses/{'.'.join(codes)}"}


def failure_components(found: Iterable[list[str]]) -> dict[str, Any]:
    """By the codes that share a status: operations that fail alike say it once."""
    return {".".join(codes): _failure(codes) for codes in sorted(found)}


def _failure(codes: Sequence[str]) -> dict[str, Any]:
    status = CODES[codes[0]].status
    said = {"properties": {"code": {"enum": list(codes)}, "status": {"const": status}}}
    return {
        "description": "\n".join(f"- `{code}`: {CODES[code].title}. {CODES[code].remedy}" for code in codes),
        "headers": _headers(OF_PROBLEMS.get(status, ())),
        "content": {
            MEDIA_TYPE: {
                "schema": {"allOf": [{"$ref": f"{REF}ProblemDetails"}, said]},
                "examples": {code: {"$ref": f"#/components/examples/{code}"} for code in codes},
            }
        },
    }


def _headers(names: Iterable[str]) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def example_components() -> dict[str, Any]:
    return {code: {"summary": CODES[code].title, "value": _problem(code)} for code in sorted(CODES)}


def _problem(code: str) -> dict[str, Any]:
    status, title, remedy, _ = CODES[code]
    said = {"type": TYPE_BASE + code, "title": title, "status": status, "code": code, "detail": remedy}
    return said | {"trace_id": GLOSSARY["trace_id"].example, "errors": []}


def json_of(types: Sequence[Any]) -> dict[str, Any]:
    schemas = [ref(cls) for cls in types]
    return {"application/json": {"schema": schemas[0] if len(schemas) == 1 else {"anyOf": schemas}}}


def text_of(text: Text) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object" if text.media_type.endswith("+json") else "string"}
    if text.line is not None:
        schema["description"] = f"One `{text.line.__name__}` a line."
        schema |= {"contentMediaType": text.media_type, "contentSchema": ref(text.line)}
    return {text.media_type: {"schema": schema}}


def page_of(name: str) -> dict[str, Any]:
    """A page whose items may be cut down by `fields=`."""
    items = {"type": "array", "items": {"$ref": f"{REF}{name}Part"}, "description": GLOSSARY["items"].meaning}
    cursor = {"type": ["string", "null"], "description": GLOSSARY["next_cursor"].meaning}
    properties = {"items": items, "next_cursor": cursor}
    return {"application/json": {"schema": {"type": "object", "properties": properties, "required": [*properties]}}}
