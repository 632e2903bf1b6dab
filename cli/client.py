"""The HTTP API as the command line uses it: retries that cannot double anything, refusals as one sentence."""

import time
from collections.abc import Callable
from typing import Any, Self
from uuid import uuid4

import click
import httpx

TRIES = 6
LONGEST_PAUSE_SECONDS = 60.0
# Longer than the longest `Prefer: wait`, and than the gap between two answers of an import.
ANSWER_SECONDS = 35.0
# The server says "not now": it is worth asking again.
BUSY = {429, 503}


class ApiError(click.ClickException):
    """A refusal, in the words of its problem document."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        self.status = status
        super().__init__(f"{status} {sentence(problem)}")


class Unreachable(click.ClickException):
    """Nobody answers at the address, or only "not now", for as long as it is reasonable to ask."""

    def __init__(self, url: str, why: object) -> None:
        super().__init__(f"Precedent does not answer at {url} ({why}). Is it running? (make run)")


def sentence(problem: dict[str, Any]) -> str:
    """`code: detail (field: message; …)` of an RFC 9457 document, as far as it has them."""
    said = ": ".join(str(problem[key]) for key in ("code", "detail") if problem.get(key)) or problem.get("title", "")
    errors = "; ".join(_named(error, problem.get("detail")) for error in problem.get("errors") or ())
    return f"{said} ({errors})" if errors else said


def _named(error: dict[str, Any], detail: object) -> str:
    """The field alone, where the detail has said the rest."""
    message = error.get("message")
    return str(error.get("field")) if message == detail else f"{error.get('field')}: {message}"


def pause_seconds(attempt: int, retry_after: str | None) -> float:
    """What the server asks for, else longer each time; never longer than a minute."""
    asked = float(retry_after) if retry_after and retry_after.isdigit() else 0.2 * 2.0**attempt
    return min(asked, LONGEST_PAUSE_SECONDS)


class Api:
    """One key's view of the platform. `sleep` is replaced where time must not pass."""

    def __init__(self, url: str, key: str, sleep: Callable[[float], None] = time.sleep) -> None:
        self.url = url
        self.sleep = sleep
        timeout = httpx.Timeout(ANSWER_SECONDS, connect=5)
        self.http = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def get(self, path: str, **params: Any) -> Any:
        return self.request("GET", path, params=params)

    def post(self, path: str, body: Any, **headers: str) -> Any:
        """Repeated under one idempotency key, so that a lost answer creates nothing twice."""
        return self.request("POST", path, json=body, headers={"Idempotency-Key": str(uuid4()), **headers})

    def text(self, path: str, **params: Any) -> str:
        """What is no JSON."""
        return self._answer("GET", path, params=params).text

    def request(self, method: str, path: str, **options: Any) -> Any:
        """The decoded answer, null when it has none."""
        answer = self._answer(method, path, **options)
        return answer.json() if answer.content else None

    def _answer(self, method: str, path: str, **options: Any) -> httpx.Response:
        """A good answer. Raises `ApiError` for a refusal, `Unreachable` when nobody answers."""
        why: object = None
        for attempt in range(TRIES):
            try:
                answer = self.http.request(method, path, **options)
            except httpx.ConnectError as error:
                raise Unreachable(self.url, error) from error
            except httpx.TransportError as error:
                why, retry_after = error, None
            else:
                if answer.status_code not in BUSY:
                    return accepted(answer)
                why, retry_after = _refusal(answer).message, answer.headers.get("Retry-After")
            self.sleep(pause_seconds(attempt, retry_after))
        raise Unreachable(self.url, why)


def accepted(answer: httpx.Response) -> httpx.Response:
    """Raises `ApiError` for any other."""
    if answer.is_error:
        raise _refusal(answer)
    return answer


def _refusal(answer: httpx.Response) -> ApiError:
    try:
        problem = answer.json()
    except ValueError:
        problem = {"title": answer.text[:200]}
    return ApiError(answer.status_code, problem if isinstance(problem, dict) else {"title": str(problem)})
