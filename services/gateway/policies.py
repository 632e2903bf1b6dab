"""Who may do how much: one data table, replaced row by row from the file that `PRECEDENT_POLICIES` names.

For a request, the first row that matches its route and its key says which bucket of its principal pays; the bucket
`global` pays beside it, for everybody together. A bucket holds `limit` tokens and fills up in `window_seconds`.
"""

import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from shared.settings import SettingsError

MOST_PER_SECOND = 100_000

Name = Annotated[str, Meta(pattern="^[a-z][a-z0-9-]{0,39}$")]
Count = Annotated[int, Meta(ge=1)]


class Quota(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    limit: Count
    window_seconds: Count = 60


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, dict=True):
    """An empty selector matches everything. Routes as in the API's description: `POST /v1/fixes/{fix_id}/outcome`."""

    name: Name
    limit: Count
    window_seconds: Count = 60
    routes: tuple[str, ...] = ()
    principals: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()

    @cached_property
    def token_us(self) -> int:
        """Microseconds in which a token comes back; rounded up, so that the rate is never above the policy's."""
        return -(-self.window_seconds * 1_000_000 // self.limit)

    @cached_property
    def full_us(self) -> int:
        return self.token_us * self.limit

    @cached_property
    def quoted(self) -> str:
        """As in `RateLimit-Policy`."""
        return f'"{self.name}";q={self.limit};w={self.window_seconds}'

    def on_route(self, route: str) -> bool:
        return not self.routes or route in self.routes

    def holds_for(self, principal: str, key: str) -> bool:
        if not self.principals and not self.keys:
            return True
        return principal in self.principals or key in self.keys

    def share(self, replicas: int) -> "Policy":
        """What one of the replicas allows on its own, when they cannot ask each other."""
        return msgspec.structs.replace(self, limit=max(1, self.limit // replicas))


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The file's form. Its `policies` come before the built-in ones, its `costs` beside them."""

    everybody: Quota = msgspec.field(name="global", default=Quota(1000))
    failed_authentication: Quota = Quota(20)
    policies: tuple[Policy, ...] = ()
    costs: dict[str, Annotated[int, Meta(ge=0)]] = {}


BUILT_IN = Table(
    policies=(Policy(name="user", limit=100),),
    # A bulk request streams: a thousand lines take longer than the token does to come back. What is not here costs 1.
    costs={"POST /v1/confidence/batch": 5, "POST /v1/models/retrain": 10},
)


class RoutePolicy(msgspec.Struct, frozen=True):
    """What a request to one route costs, and the rows that it may fall under, in order; the last holds for all."""

    route: str
    cost: int
    rows: tuple[Policy, ...]

    def policy_for(self, principal: str, key: str) -> Policy:
        """The key by its public prefix, as `precedent keys list` shows it."""
        *before, last = self.rows
        for row in before:
            if row.holds_for(principal, key):
                return row
        return last


class Policies:
    """The table, prepared for the application's routes (`METHOD /path/{parameter}`)."""

    def __init__(self, table: Table, routes: Iterable[str]) -> None:
        self.everybody = _policy("global", table.everybody)
        self.failures = _policy("failed-authentication", table.failed_authentication)
        self._rows = (*table.policies, *BUILT_IN.policies)
        self._costs = {**BUILT_IN.costs, **table.costs}
        self._by_route = {route: self._prepare(route) for route in routes}
        self._elsewhere = self._prepare("")

    def _prepare(self, route: str) -> RoutePolicy:
        rows = tuple(row for row in self._rows if row.on_route(route))
        return RoutePolicy(route, self._costs.get(route, 1), rows)

    def of(self, route: str | None) -> RoutePolicy:
        """A path that no route serves is limited like any other."""
        return self._by_route.get(route or "", self._elsewhere)


def read_policies(path: str, routes: Iterable[str]) -> Policies:
    """The built-in table where `path` is empty. Raises `SettingsError`, which says what is wrong and where."""
    routes = frozenset(routes)
    table = _read(path) if path else Table()
    problem = next(_problems(table, routes), None)
    if problem:
        raise SettingsError(f"PRECEDENT_POLICIES: {path}: {problem}")
    return Policies(table, routes)


def _read(path: str) -> Table:
    try:
        return msgspec.convert(tomllib.loads(Path(path).read_text()), Table)
    except OSError as error:
        raise SettingsError(f"PRECEDENT_POLICIES: {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
        raise SettingsError(f"PRECEDENT_POLICIES: {path}: {error}") from None


def _policy(name: str, quota: Quota) -> Policy:
    return Policy(name=name, limit=quota.limit, window_seconds=quota.window_seconds)


def _problems(table: Table, routes: frozenset[str]) -> Iterator[str]:
    prepared = Policies(table, routes)
    rows = (prepared.everybody, prepared.failures, *table.policies)
    yield from (f"the name {name!r} is taken" for name, times in Counter(r.name for r in rows).items() if times > 1)
    for row in (*rows, *BUILT_IN.policies):
        if row.limit > MOST_PER_SECOND * row.window_seconds:
            yield f"{row.name}: more than {MOST_PER_SECOND} a second"
    for route in sorted({*table.costs, *(route for row in rows for route in row.routes)} - routes):
        yield f"no such route: {route!r}; write it as in the API's description"
    for prepared_route in map(prepared.of, routes):
        for row in (prepared.everybody, *prepared_route.rows):
            if prepared_route.cost > row.limit:
                yield f"{row.name}: {prepared_route.route!r} costs {prepared_route.cost}, of at most {row.limit}"
