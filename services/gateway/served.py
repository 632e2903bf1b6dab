"""Which filters of a list are served together. Each combination is one range of an index, or all but that.

Others are refused rather than served slowly. `docs/data.md` and the description of the API show this table.
"""

from collections.abc import Collection, Iterator, Mapping

import msgspec

from services.gateway.problems import invalid


class Served(msgspec.Struct, frozen=True):
    """`freely` go with every combination; with `named`, which finds one at most, goes everything."""

    path: str
    combinations: tuple[frozenset[str], ...]
    freely: tuple[str, ...] = ()
    named: str | None = None

    def check(self, filters: Mapping[str, object]) -> None:
        """Raises `ApiError` 400, which speaks of a filter that is one too many. A value of None is none."""
        wanted = frozenset(name for name, value in filters.items() if value is not None).difference(self.freely)
        if self.named in wanted or not wanted or wanted in self.combinations:
            return
        kept = max((c for c in self.combinations if c < wanted), key=len)
        excess = min(wanted - kept)
        goes_with = [together(c - {excess}) for c in self.combinations if excess in c and len(c) > 1]
        remedy = f"; it goes with {', or with '.join(goes_with)}" if goes_with else ""
        others = together(wanted - {excess})
        raise invalid(excess, f"is not served together with {others}: leave it out{remedy}", code="filters_not_served")

    def lines(self) -> Iterator[str]:
        """The combinations, as people write them."""
        yield from (together(c) for c in self.combinations)

    def told(self) -> str:
        """For the description of the API."""
        more = f" {self.named} goes with everything." if self.named else ""
        freely = f" {together(self.freely)} go with each." if self.freely else ""
        return f"Filters are served alone and together as {', '.join(self.lines())}.{freely}{more}"


def together(names: Collection[str]) -> str:
    return " + ".join(sorted(names))


def combinations(text: str) -> tuple[frozenset[str], ...]:
    return tuple(frozenset(line.split()) for line in text.strip().splitlines())


FIXES = Served(
    "/v1/fixes",
    combinations(
        """
agent_id
repository
status
category
domain
q
agent_id repository
agent_id status
agent_id category
agent_id q
repository status
repository category
repository domain
repository q
"""
    ),
    freely=("since", "until"),
    named="external_id",
)
LEARNINGS = Served(
    "/v1/learnings",
    combinations(
        """
agent_id
category
domain
pattern_id
status
q
agent_id category
agent_id status
agent_id q
domain category
domain status
domain q
"""
    ),
)
COLLABORATIONS = Served(
    "/v1/collaborations",
    combinations(
        """
agent_id
collaboration_type
domain
status
q
agent_id status
collaboration_type status
collaboration_type domain
domain status
domain q
"""
    ),
)
LISTS = (FIXES, LEARNINGS, COLLABORATIONS)
