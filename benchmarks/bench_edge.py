"""What the edge costs, beside the least that the same server can do and beside what a user would otherwise compose.

`python -m benchmarks.bench_edge` starts a platform and the peers (`edge_peers.py`), each with one process. Rounds are
interleaved, and every ratio is the median of its rounds. A busy machine moves times; the server's own CPU moves less.
"""

import asyncio
import json
import platform as machine
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import version
from statistics import median

import uvloop
from redis.asyncio import Redis

from benchmarks.closed_loop import Measured, Target, get, measure, post
from benchmarks.edge_peers import BODY_KEY
from benchmarks.load import Client, fixes
from benchmarks.local_platform import CHECKOUT, Platform, free_port, platform

ROUNDS = 5
SECONDS = 1.5
CONNECTIONS = 32
LEARNINGS = 100
CODINGS = ("identity", "gzip", "br", "zstd")
# The least share of the hello's rate that a row should reach. "known" is kept only where a model has been promoted.
GOALS = {"cached GET, key and both limits": 0.35, "POST 2 KB, Litestar alone": 0.22}
HELLO_GET, HELLO_POST = "GET, raw ASGI", "POST 2 KB, raw ASGI"


@asynccontextmanager
async def peer(name: str, redis_url: str) -> AsyncIterator[tuple[int, int]]:
    """(port, pid) of a peer that answers."""
    port = free_port()
    command = (sys.executable, "-m", "benchmarks.edge_peers", name, str(port), redis_url)
    process = await asyncio.create_subprocess_exec(*command, cwd=CHECKOUT)
    try:
        for _ in range(200):
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                break
        yield port, process.pid
    finally:
        process.terminate()
        await process.wait()


async def learned(client: Client) -> str:
    """The id of the last of a hundred learnings."""
    for n, change in zip(range(LEARNINGS), fixes(), strict=False):
        body = {"agent_id": "bench", "title": change["title"], "body": f"Lesson {n}. " + change["diff"][200:1200]}
        status, answer = await client.post("/v1/learnings", body)
        assert status == 201, answer
    return str(json.loads(answer)["id"])


def tell(name: str, seen: list[Measured], hello: list[Measured]) -> None:
    rate = median(m.per_second / h.per_second for m, h in zip(seen, hello, strict=True))
    cpu = median(h.cpu_us / m.cpu_us for m, h in zip(seen, hello, strict=True))
    p50, p99 = median(m.p50_ms for m in seen), median(m.p99_ms for m in seen)
    tail = median(m.p99_ms / m.p50_ms for m in seen)
    goal = f"  (at least {GOALS[name]})" if GOALS.get(name) else ""
    print(
        f"  {name:<44} {median(m.per_second for m in seen):8.0f}/s {rate:5.2f} of hello   "
        f"{median(m.cpu_us for m in seen):6.0f} us CPU {cpu:5.2f}   "
        f"p50 {p50:5.1f} p99 {p99:6.1f} ms = {tail:4.1f}{goal}",
        flush=True,
    )


async def rows(run: Platform, targets: Mapping[str, Target]) -> None:
    for target in targets.values():
        await measure(target, CONNECTIONS, SECONDS / 3)
    seen: dict[str, list[Measured]] = {name: [] for name in targets}
    for _ in range(ROUNDS):
        for name, target in targets.items():
            seen[name].append(await measure(target, CONNECTIONS, SECONDS))
    for name, measured in seen.items():
        tell(name, measured, seen[HELLO_GET if "GET" in name else HELLO_POST])


async def sizes(gateway: tuple[int, int], bearer: str) -> None:
    """A page of a hundred learnings, in each coding, and for whoever has it already."""
    path, port = f"/v1/learnings?limit={LEARNINGS}", gateway[0]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    whole = 0
    for coding in CODINGS:
        writer.write(get(path, authorization=bearer, accept_encoding=coding))
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = int(head.partition("content-length: ")[2].split("\r\n")[0])
        await reader.readexactly(length)
        whole = whole or length
        print(f"  {coding:<10} {length:8d} bytes  {100 * (1 - length / whole):6.2f} % fewer")
    tag = head.partition("etag: ")[2].split("\r\n")[0]
    writer.write(get(path, authorization=bearer, accept_encoding=coding, if_none_match=tag))
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    print(f"  {head.split()[1]:<10} {len(head):8d} bytes of head alone  {100 * (1 - len(head) / whole):6.2f} % fewer")
    writer.close()


async def main() -> None:
    names = ("uvicorn", "uvloop", "httptools", "litestar", "msgspec", "redis", "fastapi", "pydantic", "limits")
    print(f"Python {machine.python_version()}, " + ", ".join(f"{name} {version(name)}" for name in names))
    async with platform() as run:
        facts, key = run.facts(), run.key()
        redis_url = facts["redis_url"]
        client, bearer = Client(facts["gateway_url"], key), f"Bearer {key}"
        learning = await learned(client)
        _, body = await client.get(f"/v1/learnings/{learning}")
        async with Redis.from_url(redis_url) as redis:
            await redis.set(BODY_KEY, body)
        ours = (run.port, run.pids()["gateway"])
        async with (
            peer("hello", redis_url) as hello,
            peer("fastapi", redis_url) as fast,
            peer("litestar", redis_url) as lite,
        ):
            changes = [next(made) for made in [fixes()] for _ in range(2000)]
            fix = {name: changes[0][name] for name in ("agent_id", "repository", "diff")}
            asked = tuple(
                post("/v1/confidence", {n: c[n] for n in ("agent_id", "repository", "diff")}, authorization=bearer)
                for c in changes
            )
            read = get(f"/v1/learnings/{learning}", authorization=bearer)
            targets = {
                HELLO_GET: Target(*hello, (get("/", authorization=bearer),)),
                "cached GET, key and both limits": Target(*ours, (read,)),
                "cached GET, FastAPI, limits, redis": Target(*fast, (get("/cached", authorization=bearer),)),
                HELLO_POST: Target(*hello, (post("/", fix, authorization=bearer),)),
                "POST 2 KB, Litestar alone": Target(*lite, (post("/fixes", fix),), 202),
                "POST 2 KB, FastAPI alone": Target(*fast, (post("/fixes", fix),), 202),
                "POST 2 KB /v1/confidence, known": Target(*ours, asked[:1]),
                "POST 2 KB /v1/confidence, scored": Target(*ours, asked),
            }
            print(f"\n{CONNECTIONS} connections, medians of {ROUNDS} rounds of {SECONDS} s each:")
            await rows(run, targets)
        print(f"\nA page of {LEARNINGS} learnings:")
        await sizes(ours, bearer)
        client.close()


if __name__ == "__main__":
    uvloop.run(main())
