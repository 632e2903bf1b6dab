"""What callers get of how things went; see `views`."""

import msgspec

from services.gateway.intervals import Interval
from services.gateway.views import Instant
from shared.contracts.commands import CollaborationType

# With fewer settled fixes a difference between agents is chance: 20 of which 17 held are anything from 64 to 95 %.
MIN_COMPARED = 20


class Fared(msgspec.Struct, frozen=True, kw_only=True):
    """`rate` is the share of the settled ones that held, `expected_rate` the mean of what was predicted for the same.

    `difference` is the one less the other: above 0 they held more often than was predicted. Null below 20 settled.
    """

    fixes: int
    unsettled: int
    succeeded: int
    failed: int
    rejected: int
    rate: float | None
    interval: Interval | None
    expected_rate: float | None
    difference: float | None
    difference_interval: Interval | None


class AgentStats(Fared, frozen=True, kw_only=True):
    agent_id: str
    last_submitted_at: Instant | None


class AgentStatsPage(msgspec.Struct, frozen=True, kw_only=True):
    """By the agents' names, for an order by rate would be one by luck."""

    as_of: Instant | None
    items: list[AgentStats]
    next_cursor: str | None = None


class CollaborationStats(msgspec.Struct, frozen=True, kw_only=True):
    """`success_ratio` is the share of those that ended with an accepted solution."""

    collaboration_type: CollaborationType
    open: int
    resolved: int
    expired: int
    success_ratio: float | None
    interval: Interval | None
    median_seconds_to_resolution: float | None


class CollaborationStatsPage(msgspec.Struct, frozen=True, kw_only=True):
    as_of: Instant | None
    items: list[CollaborationStats]


class CollaborationTotals(msgspec.Struct, frozen=True, kw_only=True):
    open: int
    resolved: int
    expired: int
    success_ratio: float | None
    interval: Interval | None


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """Of the whole deployment; `as_of` is that of its oldest part."""

    as_of: Instant | None
    agents: int
    fixes: Fared
    collaborations: CollaborationTotals
