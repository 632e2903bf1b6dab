"""What reads cost at a million rows, beside their naive forms: `docs/performance-baseline.md` keeps what it prints.

`python -m benchmarks.bench_data` uses the platform of PRECEDENT_HOME (start it with
PRECEDENT_POLICIES=benchmarks/ample_limits.toml, then `make seed-large`), or starts one of its own and seeds it with
ROWS rows. Ours are the gateway's own queries, asked as its own role; naive ones are in `naive_reads`. Rounds alternate
between what is compared. Processor time is that of the one backend which is asked, as the kernel counts it.
"""

import asyncio
import json
import os
import platform as machine
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import asyncpg
import uvloop
from asyncpg.exceptions import QueryCanceledError

from benchmarks import naive_reads
from benchmarks.listed_reads import LIMIT, MIDDLING, RARE, reads
from benchmarks.load import Client, percentile
from benchmarks.local_platform import Platform, platform
from benchmarks.seed_large import fill, rows_wanted
from deploy.local.services import as_role
from services.gateway.knowledge_queries import KnowledgeQueries
from services.gateway.stats_queries import StatsQueries
from shared.database import Database
from shared.settings import Settings
from shared.worker import rarely_collect

ROUNDS = 3
OURS_A_ROUND = 20
LISTED_ROUNDS = 10
API_ROUNDS = 30
# No naive form may take longer; it then counts as this.
PATIENCE_SECONDS = 60.0
NO_INDEX = "set enable_indexscan = off; set enable_indexonlyscan = off; set enable_bitmapscan = off"
FOUND = {"{middling}": MIDDLING, "{rare}": RARE}

Read = Callable[[], Awaitable[object]]


class Backend:
    """One connection to Postgres, and the processor time of the process behind it."""

    def __init__(self, url: str, before: str = "select 1") -> None:
        self._settings = Settings(
            nats_url="", redis_url="", database_url=url, pool_size=1, statement_timeout_seconds=PATIENCE_SECONDS
        )
        self._before = before
        self.database = Database(self._settings, "bench")

    async def open(self) -> "Backend":
        await self.database.open()
        # What is compared is one process: a query in parallel would hide what it costs.
        await self.database.pool.execute(f"set max_parallel_workers_per_gather = 0; {self._before}")
        self._pid = await self.database.pool.fetchval("select pg_backend_pid()")
        return self

    def cpu(self) -> float:
        return on_processor(self._pid)

    async def cost(self, read: Read) -> tuple[float, float]:
        """(seconds until answered, of them on the processor)."""
        started, cpu = time.perf_counter(), self.cpu()
        try:
            await read()
        except (TimeoutError, QueryCanceledError):
            return PATIENCE_SECONDS, self.cpu() - cpu
        return time.perf_counter() - started, self.cpu() - cpu

    def asks(self, sql: str, *arguments: Any) -> Read:
        return lambda: self.database.pool.fetch(sql, *arguments)


def say(*cells: object) -> None:
    print(f"| {' | '.join(map(str, cells))} |", flush=True)


def head(*cells: str) -> None:
    print()
    say(*cells)
    print("|" + "---|" * len(cells), flush=True)


def shown(seconds: float) -> str:
    return f"{1000 * seconds:,.2f} ms" if seconds < 0.1 else f"{1000 * seconds:,.0f} ms"


async def beside(naive: Backend, unindexed: Backend, ours: Backend) -> None:
    """Medians of alternating rounds."""
    knowledge, stats = KnowledgeQueries(ours.database), StatsQueries(ours.database)
    by_domain = naive_reads.LEARNINGS_BY_DOMAIN
    rows: dict[str, tuple[str, tuple[Any, ...], Read]] = {
        f"learnings by domain, a page of {LIMIT}, {kind}": (
            by_domain, (domain,), lambda d=domain: knowledge.learnings({"domain": d}, None, LIMIT)
        ) for kind, domain in (("common", "domain-1"), ("middling", "domain-100"), ("rare", "domain-900"))
    } | {
        "success rate by agent": (naive_reads.AGENTS, (), lambda: stats.agents(None, None, 0, LIMIT)),
        "collaboration stats by type": (naive_reads.COLLABORATIONS, (), stats.collaborations),
    }  # fmt: skip
    head("query", "before: no index, no view", "before: the planner's choice of indexes", "after", "times")
    for name, (sql, arguments, read) in rows.items():
        seen: list[list[float]] = [[], [], []]
        for _ in range(ROUNDS):
            seen[0].append((await unindexed.cost(unindexed.asks(sql, *arguments)))[0])
            seen[1].append((await naive.cost(naive.asks(sql, *arguments)))[0])
            seen[2] += [(await ours.cost(read))[0] for _ in range(OURS_A_ROUND)]
        without, planned, after = map(median, seen)
        say(name, shown(without), shown(planned), shown(after), f"{without / after:,.0f}, {planned / after:,.1f}")


async def listed(ours: Backend) -> None:
    head("read", "asked in", "p50", "p99", "p50 of processor", "p99 of processor")
    for name, asks in reads(ours.database):
        for read in asks:
            await read()  # as served: what is asked at all is in memory
        seen = [await ours.cost(read) for _ in range(LISTED_ROUNDS) for read in asks]
        columns = [[wall for wall, _ in seen], [cpu for _, cpu in seen]]
        say(name, f"{len(asks)} ways", *(f"{percentile(c, share):.2f}" for c in columns for share in (0.5, 0.99)))


async def processor(naive: Backend, client: Client) -> None:
    """A fixed mix over the API with the cache off, and its naive forms."""
    head("mix of reads, cache off", "processor time of Postgres")
    spent: dict[str, list[float]] = {"before": [], "after": []}
    for _ in range(ROUNDS):
        for kind in spent:
            total = 0.0
            for path, (sql, arguments) in naive_reads.MIX.items():
                if kind == "before":
                    read = naive.asks(sql, *(FOUND.get(a, a) for a in arguments))
                    total += (await naive.cost(read))[1]
                else:
                    total += await of_gateway(naive.database, lambda p=path: get(client, p))
            spent[kind].append(total)
    before, after = median(spent["before"]), median(spent["after"])
    say(f"before: {len(naive_reads.MIX)} naive queries", shown(before))
    say("after: the same over the API", f"{shown(after)}, {after / before - 1:+.1%}")


async def of_gateway(database: Database, do: Read) -> float:
    """Processor seconds of all backends of the gateway while `do` is answered."""
    sql = "select pid from pg_stat_activity where application_name = 'precedent-gateway'"
    pids = [row["pid"] for row in await database.pool.fetch(sql)]
    before = {pid: on_processor(pid) for pid in pids}
    await do()
    after = [row["pid"] for row in await database.pool.fetch(sql)]
    return sum(on_processor(pid) - before.get(pid, 0.0) for pid in after)


def on_processor(pid: int) -> float:
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


async def get(client: Client, path: str) -> float:
    """Seconds. Raises `SystemExit` for anything but 200."""
    asked = path.format(middling=MIDDLING, rare=RARE)
    limit = "" if "/stats/" in asked else f"{'&' if '?' in asked else '?'}limit={LIMIT}"
    started = time.perf_counter()
    status, body = await client.get(asked + limit)
    if status != 200:
        raise SystemExit(f"{asked} answered {status}: {body[:300]!r}")
    return time.perf_counter() - started


async def over_the_api(client: Client) -> None:
    head("the same reads over the API", "p50", "p95", "p99")
    for name, on in (("uncached", False), ("cached", True)):
        await client.put("/v1/flags/cache", {"on": on})
        await asyncio.sleep(1)
        for path in naive_reads.MIX:
            await get(client, path)
        seen = [await get(client, path) for _ in range(API_ROUNDS) for path in naive_reads.MIX]
        say(name, *(f"{percentile(seen, share):.2f} ms" for share in (0.5, 0.95, 0.99)))


async def refreshes(url: str) -> None:
    owner = await asyncpg.connect(url, command_timeout=PATIENCE_SECONDS)
    head("view made anew", "seconds")
    for name in ("scoring.refresh_agent_stats", "patterns.refresh_collaboration_stats"):
        times = []
        for _ in range(ROUNDS):
            started = time.perf_counter()
            await owner.execute(f"select {name}()")
            times.append(time.perf_counter() - started)
        say(name, f"{median(times):.2f}")
    await owner.close()


async def setting(url: str) -> None:
    owner = await asyncpg.connect(url)
    counts = [
        await owner.fetchval(f"select count(*) from {table}")
        for table in ("scoring.agent_auto_fixes", "patterns.agent_learnings", "patterns.agent_collaborations")
    ]
    postgres = await owner.fetchval("show server_version")
    buffers = await owner.fetchval("show shared_buffers")
    await owner.close()
    fixes, learnings, collaborations = (f"{count:,}" for count in counts)
    print(
        f"{fixes} fixes, {learnings} learnings, {collaborations} collaborations; {os.cpu_count()} cores; "
        f"Python {machine.python_version()}, Postgres {postgres} with shared_buffers {buffers}, "
        f"asyncpg {version('asyncpg')}, litestar {version('litestar')}"
    )


async def measure(place: Platform, stack: AsyncExitStack) -> None:
    facts = place.facts()
    url, secrets = facts["database_url"], json.loads((place.home / "secrets.json").read_text())
    as_gateway = as_role(url, "gateway_ro", secrets["gateway_ro"])
    naive, unindexed, ours = [
        await Backend(where, before).open()
        for where, before in ((url, "set jit = off"), (url, NO_INDEX), (as_gateway, "set jit = off"))
    ]
    for each in (naive, unindexed, ours):
        stack.push_async_callback(each.database.close)
    client = Client(facts["gateway_url"], place.key())
    stack.callback(client.close)
    await setting(url)
    await beside(naive, unindexed, ours)
    await client.put("/v1/flags/cache", {"on": False})
    try:
        await processor(naive, client)
        await over_the_api(client)
    finally:
        await client.put("/v1/flags/cache", {"on": True})
    await refreshes(url)
    await listed(ours)


async def main(arguments: Sequence[str] = ()) -> None:
    async with AsyncExitStack() as stack:
        home = os.environ.get("PRECEDENT_HOME")
        place = Platform(Path(home), 0) if home else await stack.enter_async_context(platform())
        if not (facts := place.facts()):
            raise SystemExit(f"no platform runs in {home}: `make run` first, or unset PRECEDENT_HOME")
        if not home:
            await fill(facts["database_url"], rows_wanted(arguments))
        # As the gateway does, whose reads are measured here: a search for garbage took 50 ms and more of some read.
        rarely_collect()
        await measure(place, stack)


if __name__ == "__main__":
    uvloop.run(main())
