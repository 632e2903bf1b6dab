"""Answers to requests: the value, or the problem in the words of the HTTP answer that will carry it."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import asyncpg
import msgspec
from nats.aio.msg import Msg

from shared.contracts.commands import Problem, Reply
from shared.errors import CommandRefused, PermanentError
from shared.telemetry import span

C = TypeVar("C", bound=msgspec.Struct)

AWAY = Problem(status=503, code="store_unavailable", detail="Postgres is away; try again when it is back")
FAULT = Problem(status=500, code="internal_error", detail="something failed on our side; the logs know more")

log = logging.getLogger(__name__)


def answering(cls: type[C], handle: Callable[[C], Awaitable[Any]]) -> Callable[[Msg], Awaitable[bytes]]:
    """Wraps a command handler: decoded request in, encoded `Reply` out, whatever happens."""

    async def answer(message: Msg) -> bytes:
        with span(f"answer {message.subject}", message.headers):
            return msgspec.json.encode(await _reply(message, cls, handle))

    return answer


async def _reply(message: Msg, cls: type[C], handle: Callable[[C], Awaitable[Any]]) -> Reply:
    try:
        value = await handle(msgspec.json.decode(message.data, type=cls))
        return Reply(value=msgspec.Raw(msgspec.json.encode(value)))
    except CommandRefused as refused:
        return Reply(problem=refused.problem)
    except (msgspec.MsgspecError, PermanentError) as error:
        return Reply(problem=Problem(status=400, code="invalid_request", detail=str(error)))
    except (OSError, TimeoutError, asyncpg.PostgresConnectionError, asyncpg.CannotConnectNowError):
        return Reply(problem=AWAY)
    except Exception:
        log.exception("%s failed", message.subject)
        return Reply(problem=FAULT)
