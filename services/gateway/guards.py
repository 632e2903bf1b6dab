"""Least privilege: every route names the one scope it needs."""

from dataclasses import dataclass
from typing import Any

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from services.gateway.keys import Principal
from services.gateway.problems import ApiError
from shared.keys import Scope


@dataclass(frozen=True)
class Requires:
    """A guard that also tells the API's description which scope it asks for."""

    scope: Scope

    # Async although it awaits nothing: a plain function would take a trip through a thread on every request.
    async def __call__(self, connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
        if self.scope not in caller(connection).scopes:
            raise ApiError(403, "forbidden", f"this key lacks the scope {self.scope!r}")


def requires(scope: Scope) -> Requires:
    return Requires(scope)


def caller(connection: ASGIConnection[Any, Any, Any, Any]) -> Principal:
    principal: Principal = connection.scope["principal"]  # type: ignore[typeddict-item]
    return principal
