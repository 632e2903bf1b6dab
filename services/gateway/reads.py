"""How the gateway reads: one row, all rows, or a page after a keyset; and what it says while Postgres is away."""

from collections.abc import Awaitable, Callable, Mapping, Set
from datetime import datetime
from types import MappingProxyType
from typing import Any, Generic, NamedTuple, TypeVar
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


class Source(NamedTuple):
    """Where the ids of a page are found, newest first: tables, the columns of the order, and what each filter says."""

    tables: str
    at: str
    id: str
    filters: Mapping[str, str] = MappingProxyType({})


class Pages(NamedTuple):
    """A list: what it shows of the ids of a page, and where they are found; `by` says for which filters elsewhere.

    They are found first, in an index alone wherever that holds all that is asked.
    """

    fields: str
    tables: str
    id: str
    plain: Source
    by: Mapping[tuple[str, ...], Source] = MappingProxyType({})

    def query(self, wanted: Mapping[str, Any], after: Keyset | None) -> tuple[str, list[Any]]:
        """The SQL of one page and its arguments, the limit left as the last one. Filter values are always arguments."""
        source = self.source({name for name, value in wanted.items() if value is not None})
        clauses, arguments = [f"{source.at} is not null"], []
        for name, value in wanted.items():
            if value is not None:
                arguments.append(value)
                clauses.append(source.filters[name].format(f"${len(arguments)}"))
        if after is not None:
            arguments += [after.at, after.id]
            clauses.append(f"({source.at}, {source.id}) < (${len(arguments) - 1}, ${len(arguments)})")
        page = (
            f"select {source.at} as at, {source.id} as id from {source.tables} where {' and '.join(clauses)} "
            f"order by {source.at} desc, {source.id} desc limit ${len(arguments) + 1}"
        )
        shown = f"{self.fields}, page.at as page_at {self.tables} join page on page.id = {self.id}"
        return f"with page as ({page}) {shown} order by page.at desc, page.id desc", arguments

    def source(self, wanted: Set[str]) -> Source:
        return next((source for names, source in self.by.items() if wanted >= {*names}), self.plain)


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
        self, cls: type[T], pages: Pages, wanted: Mapping[str, Any], after: Keyset | None, limit: int
    ) -> Listing[T]:
        sql, arguments = pages.query(wanted, after)
        rows = await self._ask(lambda pool: pool.fetch(sql, *arguments, limit + 1))
        last = rows[limit - 1] if len(rows) > limit else None
        items = [msgspec.convert(dict(row), cls) for row in rows[:limit]]
        return Listing(items, None if last is None else Keyset(last["page_at"], last["id"]))
