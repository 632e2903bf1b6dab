"""How the gateway reads: one row, all rows, or a page after a keyset; and what it says while Postgres is away."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Generic, TypeVar
from uuid import UUID

import asyncpg
import msgspec

from services.gateway.problems import store_unavailable
from shared.database import Database

T = TypeVar("T")
AWAY = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
)


class Keyset(msgspec.Struct, frozen=True):
    """Where a page ended: the next one begins strictly after it, whatever was inserted meanwhile."""

    at: datetime
    id: UUID


class Listing(msgspec.Struct, Generic[T], frozen=True):
    """`after` is None on the last page."""

    items: list[T]
    after: Keyset | None


def page_query(
    select: str, filters: dict[str, str], order: tuple[str, str], wanted: dict[str, Any], after: Keyset | None
) -> tuple[str, list[Any]]:
    """The SQL of one page and its arguments, the limit left as the last one. Filter values are always arguments."""
    clauses, arguments = [f"{order[0]} is not null"], []
    for name, value in wanted.items():
        if value is not None:
            arguments.append(value)
            clauses.append(filters[name].format(f"${len(arguments)}"))
    if after is not None:
        arguments += [after.at, after.id]
        clauses.append(f"({order[0]}, {order[1]}) < (${len(arguments) - 1}, ${len(arguments)})")
    where = " and ".join(clauses)
    return f"{select} where {where} order by {order[0]} desc, {order[1]} desc limit ${len(arguments) + 1}", arguments


class Reads:
    """Every method raises `ApiError` 503 `store_unavailable` while Postgres is away."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def _ask(self, run: Callable[["asyncpg.Pool"], Awaitable[T]]) -> T:
        if self._database.away:
            raise store_unavailable()
        try:
            return await self._database.result(run(self._database.pool))
        except AWAY as error:
            raise store_unavailable() from error
        except asyncpg.InterfaceError as error:
            if await self._database.alive():
                raise
            raise store_unavailable() from error

    async def _one(self, cls: type[T], sql: str, *arguments: Any) -> T | None:
        row = await self._ask(lambda pool: pool.fetchrow(sql, *arguments))
        return None if row is None else msgspec.convert(dict(row), cls)

    async def _all(self, cls: type[T], sql: str, *arguments: Any) -> list[T]:
        rows = await self._ask(lambda pool: pool.fetch(sql, *arguments))
        return [msgspec.convert(dict(row), cls) for row in rows]

    async def _page(
        self, cls: type[T], select: str, filters: dict[str, str], order: tuple[str, str], wanted: dict[str, Any],
        after: Keyset | None, limit: int,
    ) -> Listing[T]:  # fmt: skip
        sql, arguments = page_query(select, filters, order, wanted, after)
        items = await self._all(cls, sql, *arguments, limit + 1)
        last = items[limit - 1] if len(items) > limit else None
        at = order[0].split(".")[1]
        return Listing(items[:limit], None if last is None else Keyset(getattr(last, at), last.id))  # type: ignore[attr-defined]
