"""How the gateway reads: one row, all rows, or a page; and what it says while Postgres is away."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ClassVar, Generic, TypeVar

import asyncpg
import msgspec

from services.gateway.page_queries import Keyset, Pages
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


class Listing(msgspec.Struct, Generic[T], frozen=True):
    """`after` is None on the last page."""

    items: list[T]
    after: Keyset | None


class Reads:
    """Every method raises `ApiError` 503 `store_unavailable` while Postgres is away.

    `WORKED_OUT`: by what is made of them, what is worked out of rows here. In SQL it would be planned with every read,
    and sent.
    """

    WORKED_OUT: ClassVar[Mapping[type, Callable[[Mapping[str, Any]], dict[str, Any]]]] = {}

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

    def _made(self, cls: type[T], row: Mapping[str, Any]) -> T:
        work_out = self.WORKED_OUT.get(cls)
        return msgspec.convert({**row} if work_out is None else {**row, **work_out(row)}, cls)

    async def _one(self, cls: type[T], sql: str, *arguments: Any) -> T | None:
        row = await self._ask(lambda pool: pool.fetchrow(sql, *arguments))
        return None if row is None else self._made(cls, row)

    async def _all(self, cls: type[T], sql: str, *arguments: Any) -> list[T]:
        rows = await self._ask(lambda pool: pool.fetch(sql, *arguments))
        return [self._made(cls, row) for row in rows]

    async def _page(
        self, cls: type[T], pages: Pages, wanted: Mapping[str, Any], after: Keyset | None, limit: int
    ) -> Listing[T]:
        sql, arguments = pages.query(wanted, after)
        rows = await self._ask(lambda pool: pool.fetch(sql, *arguments, limit + 1))
        last = rows[limit - 1] if len(rows) > limit else None
        items = [self._made(cls, row) for row in rows[:limit]]
        return Listing(items, None if last is None else Keyset(last["page_at"], last["id"]))
