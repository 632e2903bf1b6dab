"""The page of a list after a keyset, newest first: which ids, by an index, and then what is shown of them."""

from collections.abc import Mapping, Set
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, NamedTuple
from uuid import UUID

import msgspec


class Keyset(msgspec.Struct, frozen=True):
    """Where a page ended: the next one begins strictly after it, whatever was inserted meanwhile."""

    at: datetime
    id: UUID

    def __post_init__(self) -> None:
        """Raises `ValueError` for a time that is not in UTC: none such was handed out, nor does each fit into it."""
        if self.at.utcoffset() != timedelta(0):
            raise ValueError("not in UTC")


Page = tuple[str, list[Any]]


class Source(NamedTuple):
    """Where the ids of a page are found, newest first: tables, the columns of the order, and what each filter says."""

    tables: str
    at: str
    id: str
    filters: Mapping[str, str] = MappingProxyType({})

    def page(self, wanted: Mapping[str, Any], after: Keyset | None) -> Page:
        clauses, arguments = [f"{self.at} is not null"], []
        for name, value in wanted.items():
            arguments.append(value)
            clauses.append(self.filters[name].format(f"${len(arguments)}"))
        if after is not None:
            arguments += [after.at, after.id]
            clauses.append(f"({self.at}, {self.id}) < (${len(arguments) - 1}, ${len(arguments)})")
        sql = (
            f"select {self.at} as at, {self.id} as id from {self.tables} where {' and '.join(clauses)} "
            f"order by {self.at} desc, {self.id} desc limit ${len(arguments) + 1}"
        )
        return sql, arguments


WORDS = "query => to_tsquery('simple', {})"


class Search(NamedTuple):
    """A function that finds `at` and `id` of them: what each filter gives it, beside the place and the limit."""

    function: str
    filters: Mapping[str, str]

    def page(self, wanted: Mapping[str, Any], after: Keyset | None) -> Page:
        given = [self.filters[name].format(f"${n}") for n, name in enumerate(wanted, 1)]
        arguments = [*wanted.values(), *((after.at, after.id) if after is not None else (None, None))]
        given += [f"{name} => ${len(wanted) + n}" for n, name in enumerate(("before_at", "before_id", "most"), 1)]
        return f"select * from {self.function}({', '.join(given)})", arguments


class Pages(NamedTuple):
    """A list: what it shows of the ids of a page, and where they are found; `by` says for which filters elsewhere.

    They are found first, in an index alone wherever that holds all that is asked.
    """

    fields: str
    tables: str
    id: str
    plain: Source
    by: Mapping[tuple[str, ...], Source | Search] = MappingProxyType({})

    def query(self, wanted: Mapping[str, Any], after: Keyset | None) -> Page:
        """The SQL of one page and its arguments, the limit left as the last one. Filter values are always arguments."""
        given = {name: value for name, value in wanted.items() if value is not None}
        page, arguments = self.source(given.keys()).page(given, after)
        shown = f"{self.fields}, page.at as page_at {self.tables} join page on page.id = {self.id}"
        return f"with page as ({page}) {shown} order by page.at desc, page.id desc", arguments

    def source(self, wanted: Set[str]) -> Source | Search:
        return next((source for names, source in self.by.items() if wanted >= {*names}), self.plain)
