"""How a share fared, and what the rate may be, given how few cases it rests on."""

from collections.abc import Mapping
from math import sqrt
from typing import Any, NamedTuple

Interval = tuple[float, float]

# Of the normal distribution, for 95 %.
Z = 1.96


class Rate(NamedTuple):
    """The column of those that fared well, the columns that sum to all, and what the rate is called."""

    good: str
    all: tuple[str, ...]
    name: str = "rate"

    def told(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """The rate and its `interval`, both null while there is no case."""
        good, total = row[self.good], sum(map(row.__getitem__, self.all))
        return {self.name: good / total if total else None, "interval": interval(good, total)}


def interval(good: int, total: int) -> Interval | None:
    """The 95 % score interval of a rate (E. B. Wilson, 1927), null without a case."""
    if not total:
        return None
    middle, spread = good + Z * Z / 2, Z * sqrt(good * (total - good) / total + Z * Z / 4)
    whole = total + Z * Z
    return max(0.0, middle - spread) / whole, min(whole, middle + spread) / whole
