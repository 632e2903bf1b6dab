"""The limiter: both buckets of a request decided at once, inside Redis, and without Redis in this process.

Decisions that wait while others are on their way travel together: one script call decides up to `MOST_TOGETHER`, each
exactly as if it had come alone. That makes a trip cheap without giving any process tokens of its own in advance, so
the buckets stay exact and the headers true, however many gateways share them.
"""

import asyncio
import hashlib
import logging
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any

import msgspec
from redis.exceptions import NoScriptError

from services.gateway.buckets import Backend, Demand, LocalBuckets, Verdict, verdict
from services.gateway.keys import Principal
from services.gateway.policies import Policies, RoutePolicy
from shared.redis_connections import AWAY, RedisConnections

# More at once would not decide more: Redis runs one script at a time.
CONNECTIONS = 2
MOST_TOGETHER = 128
# Longer than anything that Redis keeps for the cache: where memory runs out, what ends soonest makes room, and a bucket
# that went early would be full again.
KEEP_MS = 2 * 3600 * 1000
# While Redis is away it is asked this often whether it is back; no request waits for that.
PROBE_SECONDS = 0.25

# How long a refusal is a sign of more to come.
LATELY_SECONDS = 1.0

ALL_KEY = "limit:global"

# KEYS: the shared bucket, one bucket a decision, then keys to read along.
# ARGV: number of decisions, token and size of the shared bucket in microseconds, milliseconds to keep a bucket that is
# full; then for each decision token, size, cost, cost in the shared bucket.
# Answers for each decision (refused: 0, 1 own, 2 shared, 3 both; level; shared level), then what was read along.
# The clock is Redis's own: all gateways mean the same instant.
SCRIPT = """
local call = redis.call
local time = call('TIME')
local now = time[1] * 1000000 + time[2]
local stored = call('MGET', unpack(KEYS))
local function level(full_at, full)
  return full_at and math.min(math.max(full_at - now, 0), full) or 0
end
local count, token_all, full_all = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])
local shared, levels, answer = level(stored[1], full_all), {}, {}
for i = 1, count do
  local key, at = KEYS[i + 1], 4 * i + 1
  local full = tonumber(ARGV[at + 1])
  local own = levels[key] or level(stored[i + 1], full)
  local wanted, wanted_all = own + ARGV[at + 2] * ARGV[at], shared + ARGV[at + 3] * token_all
  local refused = (wanted > full and 1 or 0) + (wanted_all > full_all and 2 or 0)
  if refused == 0 then
    own, shared = wanted, wanted_all
    levels[key], levels[KEYS[1]] = own, shared
  end
  answer[3 * i - 2], answer[3 * i - 1], answer[3 * i] = refused, own, shared
end
for key, left in pairs(levels) do
  if left > 0 then
    call('SET', key, string.format('%.0f', now + left), 'PX', math.ceil(left / 1000) + ARGV[4])
  end
end
for i = count + 2, #KEYS do
  answer[2 * count - 1 + i] = stored[i]
end
return answer
"""

Found = Sequence[bytes | None]
Decision = tuple[Verdict, Found]
log = logging.getLogger(__name__)


class Waiting(msgspec.Struct, gc=False):
    demand: Demand
    extra: tuple[str, ...]
    answer: asyncio.Future[Decision]


class Limiter:
    """`count(policy, result, backend)` hears of every decision."""

    def __init__(
        self, redis_url: str, policies: Policies, replicas: int, clock: Callable[[], float],
        count: Callable[[str, str, Backend], None],
    ) -> None:  # fmt: skip
        self.backend: Backend = "redis"
        self._connections = RedisConnections(redis_url, CONNECTIONS)
        self._travelling = 0
        self._everybody = policies.everybody
        self.failures = policies.failures
        self._count = count
        self._clock = clock
        self._refused_at = float("-inf")
        self._local = LocalBuckets(replicas, clock)
        self._sha = hashlib.sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()
        self._waiting: list[Waiting] = []
        self._tasks: set[asyncio.Task[None]] = set()

    @cached_property
    def _loop(self) -> asyncio.AbstractEventLoop:
        """Asked for once: before Python 3.12 the question is a system call, a tenth of a whole cached answer."""
        return asyncio.get_running_loop()

    def take(
        self, principal: Principal, route: RoutePolicy, extra: tuple[str, ...] = (), cost: int | None = None
    ) -> asyncio.Future[Decision]:
        """Both buckets pay, or neither; the keys of `extra` are read in the same trip, at the same instant.

        `cost` replaces the route's, for a request whose price stands in its body. With Redis away the decision is this
        process's own (`verdict.backend == "local"`), and every extra key is None.
        """
        policy = route.policy_for(principal.name, principal.prefix)
        price = route.cost if cost is None else cost
        return self._decide(
            Demand(f"limit:{policy.name}:{principal.name}", policy, self._everybody, price, price), extra
        )

    async def fail(self, address: str) -> Verdict:
        """A failed authentication from this address; refused once there were too many."""
        key = f"limit:{self.failures.name}:{address}"
        found, _ = await self._decide(Demand(key, self.failures, self._everybody, 1, 0), ())
        return found

    def _decide(self, demand: Demand, extra: tuple[str, ...]) -> asyncio.Future[Decision]:
        waiting = Waiting(demand, extra, self._loop.create_future())
        if self.backend == "local":
            self._alone(waiting)
        else:
            self._waiting.append(waiting)
            if self._travelling < CONNECTIONS:
                self._travelling += 1
                self._spawn(self._travel())
        return waiting.answer

    def _alone(self, waiting: Waiting) -> None:
        self._say(waiting, self._local.take(waiting.demand), (None,) * len(waiting.extra))

    @property
    def refused_lately(self) -> bool:
        """Somebody was over a limit, whoever it was."""
        return self._clock() - self._refused_at < LATELY_SECONDS

    def _say(self, waiting: Waiting, found: Verdict, read: Found) -> None:
        if waiting.answer.done():  # who asked has gone
            return
        if found.violated:
            self._refused_at = self._clock()
        policy = found.violated[0] if found.violated else waiting.demand.policy
        self._count(policy.name, "refused" if found.violated else "allowed", found.backend)
        waiting.answer.set_result((found, read))

    def _spawn(self, run: Any) -> None:
        task = self._loop.create_task(run)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _travel(self) -> None:
        """Until nobody waits. It starts a turn of the loop later: whoever came in the same turn comes along."""
        try:
            while self._waiting:
                group, self._waiting = self._waiting[:MOST_TOGETHER], self._waiting[MOST_TOGETHER:]
                await self._trip(group)
        finally:
            self._travelling -= 1

    async def _trip(self, group: list[Waiting]) -> None:
        try:
            if self.backend == "redis":
                for answer in answered(group, await self._run(group)):
                    self._say(*answer)
                return
        except AWAY as error:
            self._lost(error)
        except Exception:
            log.exception("a trip to Redis failed on our side; its decisions are this process's own")
        for waiting in group:
            self._alone(waiting)

    async def _run(self, group: list[Waiting]) -> list[Any]:
        """What a lost reply makes decide twice is spent twice, so that never too much is let in."""
        keys, arguments = asked(group)
        try:
            [reply] = await self._connections.ask(("EVALSHA", self._sha, len(keys), *keys, *arguments))
        except NoScriptError:
            [reply] = await self._connections.ask(("EVAL", SCRIPT, len(keys), *keys, *arguments))
        found: list[Any] = reply
        return found

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
                await self._connections.ask(("PING",))
            except AWAY:
                continue
            self.backend = "redis"
            log.info("Redis is back, limits are shared again")

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await self._connections.close()


def asked(group: list[Waiting]) -> tuple[list[str], list[int]]:
    """KEYS and ARGV of the script."""
    shared = group[0].demand.everybody
    keys, arguments = [ALL_KEY], [len(group), shared.token_us, shared.full_us, KEEP_MS]
    for waiting in group:
        demand = waiting.demand
        keys.append(demand.key)
        arguments += (demand.policy.token_us, demand.policy.full_us, demand.cost, demand.cost_everybody)
    for waiting in group:
        keys += waiting.extra
    return keys, arguments


def answered(group: list[Waiting], reply: list[Any]) -> Iterator[tuple[Waiting, Verdict, Found]]:
    """Each with its part of the script's answer."""
    read = 3 * len(group)
    for i, waiting in enumerate(group):
        refused, level, level_all = reply[3 * i : 3 * i + 3]
        after = read + len(waiting.extra)
        yield waiting, verdict(waiting.demand, level, level_all, refused, "redis"), reply[read:after]
        read = after
