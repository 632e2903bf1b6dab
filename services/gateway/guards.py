"""Least privilege: every route names the one scope it needs."""

from typing import Any

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.types import Guard

from services.gateway.keys import Principal
from services.gateway.problems import ApiError
from shared.keys import Scope


def requires(scope: Scope) -> Guard:
    def guard(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
        if scope not in caller(connection).scopes:
            raise ApiError(403, "forbidden", f"this key lacks the scope {scope!r}")

    return guard


def caller(connection: ASGIConnection[Any, Any, Any, Any]) -> Principal:
    principal: Principal = connection.scope["principal"]  # type: ignore[typeddict-item]
    return principal
