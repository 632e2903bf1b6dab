"""RFC 9457: every refusal is `application/problem+json` with a stable `code` and the field it speaks of."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from opentelemetry import trace

from services.gateway.codes import CODES
from services.gateway.views import FieldError, ProblemDetails
from shared.contracts.commands import Problem, Reply

MEDIA_TYPE = "application/problem+json"
# Where this deployment explains the code; RFC 9457 reads it relative to the request.
# What the framework says of a body that a route needs and that is not there.
NO_BODY = "'data'"
TYPE_BASE = "/docs#problem-"
FIELD = re.compile(r" - at `(?:key in )?\$\.?([^`]*)`$")
# What msgspec says in place of a name in a mapping; the only ones in bodies are of numbers.
SOME = "[...]"
STEP = re.compile(r"[^.\[\]]+")

NAMED_FIELD = re.compile(r"(?:unknown|missing required) field `([^`]+)`")

# What the framework refuses before a route is reached.
BY_STATUS = {
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    415: "unsupported_media_type",
    500: "internal_error",
}
# What the framework says of a body that breaks off, as if that were our fault.
LEFT = "client disconnected prematurely"


class ApiError(Exception):
    """Raised anywhere below the edge; carries everything the answer says. `code` stands in `codes.py`."""

    def __init__(
        self, status: int, code: str, detail: str, *, field: str | None = None, retry_after: int | None = None
    ) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail = status, code, detail
        self.errors: tuple[FieldError, ...] = (FieldError(field, detail),) if field else ()
        seconds = CODES[code].retry_after if retry_after is None else retry_after
        self.headers = {} if seconds is None else {"Retry-After": str(seconds)}
        self.violated_policies: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET

    @classmethod
    def of(cls, problem: Problem) -> "ApiError":
        return cls(problem.status, problem.code, problem.detail, field=problem.field)


def value_of(reply: Reply) -> bytes:
    """As it was encoded. Raises the `ApiError` that the problem says."""
    if reply.problem is not None:
        raise ApiError.of(reply.problem)
    return bytes(reply.value)


def invalid(field: str, message: str, code: str = "invalid_request") -> ApiError:
    return ApiError(400, code, message, field=field)


def not_found(what: str) -> ApiError:
    return ApiError(404, "not_found", f"{what}: not found")


def store_unavailable() -> ApiError:
    return ApiError(503, "store_unavailable", "Postgres is away; reads come back with it")


def bus_unavailable() -> ApiError:
    return ApiError(503, "bus_unavailable", "NATS is away; nothing was accepted, send it again")


def bus_silent() -> ApiError:
    """It was sent, and nobody knows what became of it."""
    detail = (
        "NATS did not say that it has it, and may have; with the same external_id or Idempotency-Key a repeat is safe"
    )
    return ApiError(503, "bus_unavailable", detail)


def worker_silent(service: str, seconds: float) -> ApiError:
    detail = (
        f"no answer from {service} within {seconds:g} s; repeat a change with its Idempotency-Key, it may be done yet"
    )
    return ApiError(503, f"{service}_unavailable", detail)


def details(error: ApiError) -> ProblemDetails:
    context = trace.get_current_span().get_span_context()
    return ProblemDetails(
        type=TYPE_BASE + error.code,
        title=CODES[error.code].title,
        status=error.status,
        code=error.code,
        detail=error.detail,
        trace_id=f"{context.trace_id:032x}" if context.is_valid else None,
        errors=error.errors,
        violated_policies=error.violated_policies,
    )


def as_api_error(error: Exception) -> ApiError:
    """The one place that turns any exception into what the caller reads; internals are never shown."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, msgspec.MsgspecError):
        return body_error(error)
    if isinstance(error, RecursionError):
        return invalid("body", "is nested too deeply")
    if isinstance(error, ValidationException):
        return _validation(error)
    if isinstance(error, HTTPException) and error.detail == LEFT:
        return invalid("body", "broke off before its end")
    if isinstance(error, HTTPException) and error.status_code == 400:
        return invalid("body", error.detail)
    if isinstance(error, HTTPException):
        return _of_framework(error)
    return ApiError(500, "internal_error", "something failed on our side; the trace_id finds it in the logs")


def _of_framework(error: HTTPException) -> ApiError:
    known = ApiError(error.status_code, BY_STATUS.get(error.status_code, "internal_error"), error.detail)
    known.headers |= error.headers or {}
    return known


def body_error(error: Exception, body: bytes = b"") -> ApiError:
    """A message of msgspec, taken apart into the field and what is wrong with it."""
    text = str(error)
    found = FIELD.search(text)
    path = found.group(1) if found else ""
    if body and path.endswith(SOME):
        path = no_number(path.removesuffix(SOME), body)
    return _invalid_at(path, FIELD.sub("", text))


def no_number(path: str, body: bytes) -> str:
    """The field that is none, of those at `path`, which all have to be."""
    try:
        fields: Any = msgspec.json.decode(body)
        for step in STEP.findall(path):
            fields = fields[int(step) if isinstance(fields, list) else step]
        return next(f"{path}.{name}" for name, value in fields.items() if type(value) not in (int, float))
    except Exception:
        # What follows was not read yet, and may be anything: no JSON, no UTF-8, the same name once more.
        return path


@contextmanager
def within(place: str) -> Iterator[None]:
    """Whatever is refused meanwhile is named as the part of the body that it is: `items[3].diff`."""
    try:
        yield
    except ApiError as error:
        error.errors = tuple(FieldError(f"{place}.{part.field}", part.message) for part in error.errors)
        raise


def _invalid_at(path: str, message: str) -> ApiError:
    """Where the message names a field that is missing or unknown, that is the one to speak of."""
    named = NAMED_FIELD.search(message)
    parts = [part for part in (path, named.group(1) if named else "") if part]
    return invalid(".".join(parts) or "body", message)


def _validation(error: ValidationException) -> ApiError:
    extra: Any = error.extra or []
    found = [e for e in extra if isinstance(e, dict)] if isinstance(extra, list) else []
    if not found:
        cause = error.__cause__ or error.__context__
        return body_error(cause if isinstance(cause, msgspec.MsgspecError) else ValueError(error.detail))
    first = found[0]
    if first.get("message") == NO_BODY:
        return invalid("body", "is empty: send a JSON object")
    path = "" if first.get("key") in (None, "data") else str(first["key"])
    if first.get("source") == "header":
        path = path.replace("_", "-").title()
    return _invalid_at(path, str(first.get("message") or error.detail))


def respond(_: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    known = as_api_error(error)
    return Response(
        msgspec.json.encode(details(known)), status_code=known.status, media_type=MEDIA_TYPE, headers=known.headers
    )
