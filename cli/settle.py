"""Waiting for what happens after an answer, with a bound."""

import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

from cli.client import Api, ApiError

POLL_SECONDS = 0.2


def settled(
    api: Api,
    fix_id: UUID | str,
    seconds: float,
    done: Callable[[dict[str, Any]], bool] = lambda fix: fix["status"] != "accepted",
    clock: Callable[[], float] = time.monotonic,
) -> dict[str, Any]:
    """The fix once it is `done` (by default: scored, or rejected), or as it is when `seconds` are over."""
    deadline = clock() + seconds
    while True:
        fix = _fix(api, fix_id)
        if done(fix) or clock() > deadline:
            return fix
        api.sleep(POLL_SECONDS)


def _fix(api: Api, fix_id: UUID | str) -> dict[str, Any]:
    """A fix that is on its way, and that nobody can see yet, is accepted."""
    try:
        return dict(api.get(f"/v1/fixes/{fix_id}"))
    except ApiError as error:
        if error.status != 404:
            raise
        return {"id": str(fix_id), "status": "accepted"}
