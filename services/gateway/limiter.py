"""The limiter: both buckets of a request decided at once, inside Redis, and without Redis in this process.

Decisions that wait while others are on their way travel together: one script call decides up to `MOST_TOGETHER`, each
exactly as if it had come alone. That makes a trip cheap without giving any process tokens of its own in advance, so
the buckets stay exact and the headers true, however many gateways share them.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from redis.exceptions import NoScriptError

from services.gateway.buckets import Backend, Demand, LocalBuckets, Verdict, verdict
from services.gateway.keys import Principal
from services.gateway.policies import Policies, RoutePolicy
from services.gateway.redis_client import AWAY, redis_client

# More trips at once do not decide more: Redis runs one script at a time.
TRIPS = 2
MOST_TOGETHER = 128
# While Redis is away it is asked this often whether it is back; no request waits for that.
PROBE_SECONDS = 0.25

ALL_KEY = "limit:global"

# KEYS: the shared bucket, one bucket a decision, then keys to read along.
# ARGV: number of decisions, token and size of the shared bucket in microseconds, then for each decision
# token, size, cost, cost in the shared bucket. The clock is Redis's own: all gateways mean the same instant.
# Answers for each decision (refused: 0, 1 own, 2 shared, 3 both; level; shared level), and last what was read along.
SCRIPT = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local count = tonumber(ARGV[1])
local levels, touched = {}, {}
local function level(key, full)
  if not levels[key] then
    local full_at = tonumber(redis.call('GET', key) or now)
    levels[key] = math.min(math.max(full_at - now, 0), full)
  end
  return levels[key]
end
local all, token_all, full_all = KEYS[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local answer = {}
for i = 1, count do
  local key, at = KEYS[i + 1], 4 * i
  local token, full, cost, cost_everybody = tonumber(ARGV[at]), tonumber(ARGV[at + 1]), ARGV[at + 2], ARGV[at + 3]
  local own, shared = level(key, full), level(all, full_all)
  local wanted, wanted_all = own + cost * token, shared + cost_everybody * token_all
  local refused = (wanted > full and 1 or 0) + (wanted_all > full_all and 2 or 0)
  if refused == 0 then
    levels[key], levels[all] = wanted, wanted_all
    touched[key], touched[all] = true, true
    own, shared = wanted, wanted_all
  end
  answer[3 * i - 2], answer[3 * i - 1], answer[3 * i] = refused, own, shared
end
for key in pairs(touched) do
  if levels[key] > 0 then
    redis.call('SET', key, string.format('%.0f', now + levels[key]), 'PX', math.ceil(levels[key] / 1000) + 1000)
  end
end
if #KEYS > count + 1 then
  answer[3 * count + 1] = redis.call('MGET', unpack(KEYS, count + 2))
end
return answer
"""

Found = Sequence[bytes | None]
log = logging.getLogger(__name__)


class Waiting(msgspec.Struct, gc=False):
    demand: Demand
    extra: tuple[str, ...]
    answer: asyncio.Future[tuple[Verdict, Found]]

    def say(self, found: Verdict, read: Found) -> None:
        if not self.answer.done():
            self.answer.set_result((found, read))


class Limiter:
    """`count(policy, result, backend)` hears of every decision."""

    def __init__(
        self, redis_url: str, policies: Policies, replicas: int, clock: Callable[[], float],
        count: Callable[[str, str, Backend], None],
    ) -> None:  # fmt: skip
        self.backend: Backend = "redis"
        self._redis: Any = redis_client(redis_url, TRIPS + 1)
        self._policies = policies
        self._count = count
        self._local = LocalBuckets(replicas, clock)
        self._sha = ""
        self._waiting: list[Waiting] = []
        self._trips = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def take(
        self, principal: Principal, route: RoutePolicy, extra: tuple[str, ...] = (), cost: int | None = None
    ) -> tuple[Verdict, Found]:
        """Both buckets pay, or neither; the keys of `extra` are read in the same trip, at the same instant.

        `cost` replaces the route's, for a request whose price stands in its body. With Redis away the decision is this
        process's own (`verdict.backend == "local"`), and every extra key is None.
        """
        policy = route.policy_for(principal.name, principal.prefix)
        price = route.cost if cost is None else cost
        return await self._decide(
            Demand(f"limit:{policy.name}:{principal.name}", policy, self._policies.everybody, price, price), extra
        )

    async def fail(self, address: str) -> Verdict:
        """A failed authentication from this address; refused once there were too many."""
        policy = self._policies.failures
        found, _ = await self._decide(
            Demand(f"limit:{policy.name}:{address}", policy, self._policies.everybody, 1, 0), ()
        )
        return found

    async def _decide(self, demand: Demand, extra: tuple[str, ...]) -> tuple[Verdict, Found]:
        if self.backend == "local":
            found: tuple[Verdict, Found] = self._local.take(demand), (None,) * len(extra)
        else:
            waiting = Waiting(demand, extra, asyncio.get_running_loop().create_future())
            self._waiting.append(waiting)
            if self._trips < TRIPS:
                self._trips += 1
                self._spawn(self._travel())
            found = await waiting.answer
        self._tell(demand, found[0])
        return found

    def _tell(self, demand: Demand, found: Verdict) -> None:
        policy = found.violated[0] if found.violated else demand.policy
        self._count(policy.name, "refused" if found.violated else "allowed", found.backend)

    def _spawn(self, run: Any) -> None:
        task = asyncio.get_running_loop().create_task(run)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _travel(self) -> None:
        """Until nobody waits. It starts a turn of the loop later: whoever came in the same turn comes along."""
        try:
            while self._waiting:
                group, self._waiting = self._waiting[:MOST_TOGETHER], self._waiting[MOST_TOGETHER:]
                await self._trip(group)
        finally:
            self._trips -= 1

    async def _trip(self, group: list[Waiting]) -> None:
        try:
            if self.backend == "redis":
                answered(group, await self._run(group))
                return
        except AWAY as error:
            self._lost(error)
        for waiting in group:
            waiting.say(self._local.take(waiting.demand), (None,) * len(waiting.extra))

    async def _run(self, group: list[Waiting]) -> list[Any]:
        keys, arguments = asked(group)
        try:
            reply: list[Any] = await self._redis.evalsha(self._sha, len(keys), *keys, *arguments)
        except NoScriptError:
            self._sha = await self._redis.script_load(SCRIPT)
            reply = await self._redis.evalsha(self._sha, len(keys), *keys, *arguments)
        return reply

    def _lost(self, error: BaseException) -> None:
        if self.backend == "redis":
            log.warning("Redis is away, limits are this process's own: %s", error)
            self.backend = "local"
            self._spawn(self._wait_for_redis())

    async def _wait_for_redis(self) -> None:
        while self.backend == "local":
            await asyncio.sleep(PROBE_SECONDS)
            self._local.forget()
            try:
                self._sha = await self._redis.script_load(SCRIPT)
            except AWAY:
                continue
            self.backend = "redis"
            log.info("Redis is back, limits are shared again")

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await self._redis.aclose()


def asked(group: list[Waiting]) -> tuple[list[str], list[int]]:
    """KEYS and ARGV of the script."""
    shared = group[0].demand.everybody
    keys, arguments = [ALL_KEY], [len(group), shared.token_us, shared.full_us]
    for waiting in group:
        demand = waiting.demand
        keys.append(demand.key)
        arguments += (demand.policy.token_us, demand.policy.full_us, demand.cost, demand.cost_everybody)
    for waiting in group:
        keys += waiting.extra
    return keys, arguments


def answered(group: list[Waiting], reply: list[Any]) -> None:
    """Gives each its part of the script's answer."""
    count, read = len(group), 0
    along: Found = reply[3 * count] if len(reply) > 3 * count else ()
    for i, waiting in enumerate(group):
        refused, level, level_all = reply[3 * i : 3 * i + 3]
        found = verdict(waiting.demand, level, level_all, refused, "redis")
        waiting.say(found, along[read : read + len(waiting.extra)])
        read += len(waiting.extra)
