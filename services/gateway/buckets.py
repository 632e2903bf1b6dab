"""Token buckets as arithmetic: levels in, verdict out. Pure; the same in the script that runs inside Redis.

A bucket's level is how many microseconds it needs to be full again: 0 is full, `policy.full_us` is empty. Spending
adds `cost * policy.token_us`, time takes away, and what would go beyond `full_us` is refused. In any stretch of time a
bucket therefore gives at most its limit and what flowed in. (The generic cell rate algorithm, ITU-T I.371.)
"""

from collections.abc import Callable
from typing import Literal

import msgspec

from services.gateway.policies import Policy

Backend = Literal["redis", "local"]


class Demand(msgspec.Struct, frozen=True, gc=False):
    """`cost` tokens of the bucket `key`, and `cost_everybody` of the one that everybody shares; both or neither."""

    key: str
    policy: Policy
    everybody: Policy
    cost: int
    cost_everybody: int


class Standing(msgspec.Struct, frozen=True, gc=False):
    """How a bucket stands after the decision."""

    policy: Policy
    level_us: int

    @property
    def remaining(self) -> int:
        return (self.policy.full_us - self.level_us) // self.policy.token_us

    @property
    def reset_seconds(self) -> int:
        """Until it is full."""
        return -(-self.level_us // 1_000_000)


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """`violated` is empty for what is let in; `retry_after` seconds later a refused one would have been let in."""

    own: Standing
    everybody: Standing
    violated: tuple[Policy, ...]
    retry_after: int
    backend: Backend

    @property
    def tighter(self) -> Standing:
        """The bucket that will refuse first, or has refused."""
        if self.violated:
            return self.own if self.own.policy in self.violated else self.everybody
        return self.own if self.own.remaining <= self.everybody.remaining else self.everybody


def verdict(demand: Demand, level: int, level_all: int, refused: int, backend: Backend) -> Verdict:
    """`refused`: 1 for the demand's own bucket, 2 for the shared one, 3 for both; levels are those afterwards."""
    own, shared = Standing(demand.policy, level), Standing(demand.everybody, level_all)
    if not refused:
        return Verdict(own, shared, (), 0, backend)
    missing = {}
    if refused & 1:
        missing[own.policy] = level + demand.cost * own.policy.token_us - own.policy.full_us
    if refused & 2:
        missing[shared.policy] = level_all + demand.cost_everybody * shared.policy.token_us - shared.policy.full_us
    return Verdict(own, shared, tuple(missing), -(-max(missing.values()) // 1_000_000), backend)


class LocalBuckets:
    """One process on its own: each bucket is a replica's share. `clock` in seconds, from any origin."""

    def __init__(self, replicas: int, clock: Callable[[], float]) -> None:
        self._replicas = replicas
        self._clock = clock
        self._full_at: dict[str, int] = {}  # microseconds
        self._shares: dict[Policy, Policy] = {}

    def take(self, demand: Demand) -> Verdict:
        demand = self._own_share(demand)
        now = int(self._clock() * 1_000_000)
        level, level_all = self._level(demand.key, now), self._level("", now)
        wanted, wanted_all = (
            _spent(level, demand.cost, demand.policy),
            _spent(level_all, demand.cost_everybody, demand.everybody),
        )
        refused = (wanted > demand.policy.full_us) + 2 * (wanted_all > demand.everybody.full_us)
        if refused:
            return verdict(demand, level, level_all, refused, "local")
        self._full_at[demand.key], self._full_at[""] = now + wanted, now + wanted_all
        return verdict(demand, wanted, wanted_all, 0, "local")

    def forget(self) -> None:
        """Buckets that are full again say nothing."""
        now = int(self._clock() * 1_000_000)
        self._full_at = {key: at for key, at in self._full_at.items() if at > now}

    def _level(self, key: str, now: int) -> int:
        return max(0, self._full_at.get(key, 0) - now)

    def _own_share(self, demand: Demand) -> Demand:
        """A request that costs more than a whole share takes all of it: else it could never be let in."""
        own, shared = self._share(demand.policy), self._share(demand.everybody)
        return Demand(demand.key, own, shared, min(demand.cost, own.limit), min(demand.cost_everybody, shared.limit))

    def _share(self, policy: Policy) -> Policy:
        if policy not in self._shares:
            self._shares[policy] = policy.share(self._replicas)
        return self._shares[policy]


def _spent(level: int, cost: int, policy: Policy) -> int:
    return level + cost * policy.token_us
