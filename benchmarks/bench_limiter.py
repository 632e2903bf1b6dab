"""Decisions of two token buckets (a user's and everybody's) on one Redis, beside what a user would otherwise take.

`python -m benchmarks.bench_limiter` starts a Valkey of its own. Everybody uses redis-py in one event loop, and decides
the same: a request of one of `USERS`, which pays a token of the user's bucket and one of the shared bucket. The peers
know one bucket a call, so they are called twice; they do not promise that a refused request spends neither.
Rounds are interleaved. CPU is this process's own, without the server's.
"""

import asyncio
import os
import platform as machine
import signal
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from itertools import count
from pathlib import Path
from statistics import median
from typing import NamedTuple
from uuid import uuid4

import uvloop
from limits import RateLimitItemPerMinute
from limits.aio.storage import RedisStorage
from limits.aio.strategies import FixedWindowRateLimiter, RateLimiter
from throttled.asyncio import RateLimiterType, RedisStore, Throttled, per_min

from benchmarks.local_platform import free_port
from deploy.local.process import die_with_parent
from deploy.local.servers import valkey
from services.gateway.keys import Principal
from services.gateway.limiter import Limiter
from services.gateway.policies import Policies, Policy, Quota, Table

USERS = 100
ROUNDS = 5
SECONDS = 1.0
# redis-py refuses beyond a hundred connections, and the peers take one a call.
CALLERS = (1, 8, 64)
# Never met, and below what the table allows: what is measured is the deciding.
PER_MINUTE = 6_000_000
OURS = "precedent"

Decide = Callable[[int], Awaitable[bool]]


class Measured(NamedTuple):
    per_second: float
    cpu_us: float  # a decision


@contextmanager
def own_valkey() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="precedent-bench-") as directory:
        port = free_port()
        server = valkey(Path(directory), port, uuid4().hex)
        before_exec = die_with_parent(signal.SIGKILL, os.getpid())
        process = subprocess.Popen(server.proc.argv, env=server.proc.env, preexec_fn=before_exec)
        try:
            assert server.proc.ready is not None
            asyncio.run(ready(server.proc.ready))
            yield server.url
        finally:
            process.terminate()
            process.wait()


async def ready(answers: Callable[[], Awaitable[bool]]) -> None:
    for _ in range(200):
        if await answers():
            return
        await asyncio.sleep(0.05)
    raise RuntimeError("Valkey does not answer")


def ours(url: str) -> tuple[Decide, Callable[[], Awaitable[None]]]:
    table = Table(everybody=Quota(PER_MINUTE), policies=(Policy(name="user", limit=PER_MINUTE),))
    policies = Policies(table, [])
    limiter = Limiter(url, policies, 1, time.monotonic, lambda *_: None)
    route = policies.of(None)
    principals = [Principal(uuid4(), f"user-{n}", frozenset(), ()) for n in range(USERS)]

    async def decide(user: int) -> bool:
        found, _ = await limiter.take(principals[user], route)
        return not found.violated

    return decide, limiter.close


def of_limits(url: str, strategy: type[RateLimiter]) -> Decide:
    limiter = strategy(RedisStorage(f"async+{url}", implementation="redispy"))
    item = RateLimitItemPerMinute(PER_MINUTE)

    async def decide(user: int) -> bool:
        return await limiter.hit(item, "user", f"{user}") and await limiter.hit(item, "global")

    return decide


def of_throttled(url: str, algorithm: RateLimiterType) -> Decide:
    store = RedisStore(server=url)
    own = Throttled(using=algorithm.value, quota=per_min(PER_MINUTE), store=store)
    shared = Throttled(using=algorithm.value, quota=per_min(PER_MINUTE), store=store, key="global")

    async def decide(user: int) -> bool:
        return not (await own.limit(f"user:{user}")).limited and not (await shared.limit()).limited

    return decide


async def measured(decide: Decide, callers: int, seconds: float) -> Measured:
    """Each caller asks again when it has its answer."""
    numbers, done = count(), 0
    begun, cpu, end = time.perf_counter(), time.process_time(), time.perf_counter() + seconds

    async def caller() -> None:
        nonlocal done
        while time.perf_counter() < end:
            assert await decide(next(numbers) % USERS)
            done += 1

    await asyncio.gather(*(caller() for _ in range(callers)))
    return Measured(done / (time.perf_counter() - begun), 1e6 * (time.process_time() - cpu) / done)


async def compare(url: str) -> dict[int, dict[str, Measured]]:
    """Medians by the number of concurrent callers, then by name; `OURS` first."""
    decide, close = ours(url)
    peers: dict[str, Decide] = {
        OURS: decide,
        f"limits {version('limits')} fixed window": of_limits(url, FixedWindowRateLimiter),
        f"throttled-py {version('throttled-py')} token bucket": of_throttled(url, RateLimiterType.TOKEN_BUCKET),
        f"throttled-py {version('throttled-py')} GCRA": of_throttled(url, RateLimiterType.GCRA),
    }
    seen: dict[tuple[int, str], list[Measured]] = {}
    for name in peers:
        await measured(peers[name], CALLERS[-1], SECONDS / 5)
    for _ in range(ROUNDS):
        for callers in CALLERS:
            for name, peer in peers.items():
                seen.setdefault((callers, name), []).append(await measured(peer, callers, SECONDS))
    await close()
    return {
        callers: {name: Measured(*map(median, zip(*seen[callers, name], strict=True))) for name in peers}
        for callers in CALLERS
    }


def tell(found: dict[int, dict[str, Measured]]) -> None:
    for callers, results in found.items():
        print(f"{callers} callers")
        for name, result in results.items():
            ratio, cpu = results[OURS].per_second / result.per_second, result.cpu_us / results[OURS].cpu_us
            beside = (
                "" if name == OURS else f"   precedent decides {ratio:4.1f} times as many, on 1/{cpu:.1f} of the CPU"
            )
            print(f"  {name:<36} {result.per_second:9.0f}/s {result.cpu_us:7.1f} µs of CPU{beside}")


def main() -> None:
    print(f"Python {machine.python_version()} on {os.cpu_count()} cores; redis-py {version('redis')};")
    print(f"medians of {ROUNDS} interleaved rounds of {SECONDS:.0f} s")
    with own_valkey() as url:
        tell(uvloop.run(compare(url)))


if __name__ == "__main__":
    main()
