"""The page of a list after a keyset, newest first: which ids, by an index, and then what is shown of them."""

from collections.abc import Mapping, Set
from datetime import datetime
from types import MappingProxyType
from typing import Any, NamedTuple
from uuid import UUID

import msgspec


class Keyset(msgspec.Struct, frozen=True):
    """Where a page ended: the next one begins strictly after it, whatever was inserted meanwhile."""

    at: datetime
    id: UUID


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
