"""How long an analysis takes beside a full memory, how many fixes a second are categorized, and the worst diffs.

`python -m benchmarks.bench_patterns [stored fixes]` starts a platform of its own. The stored fixes come by one
statement, from random words and paths; what is measured goes over HTTP or the bus, as in production, beside a bare
`SELECT 1` of the same server.
"""

import asyncio
import random
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from statistics import median

import asyncpg
import nats
import psutil
import uvloop

from benchmarks.load import Client, fixes
from benchmarks.load import diff as one_change
from benchmarks.local_platform import Platform, platform
from services.patterns.domain import examine
from services.patterns.embedding import Embedding
from services.patterns.model import Model
from services.patterns.vectors import half, sparse, speak_vectors
from shared.categories.artefact import shipped
from shared.contracts.envelope import Envelope, seal
from shared.contracts.fixes import FixSubmitted
from shared.database import speak_json
from shared.diffs import MAX_BYTES, parse
from shared.features.change import change_features
from shared.ids import new_id

MODEL = Model(None, *shipped())
STORED = 100_000
REPOSITORIES = 50
PLACES = 2000  # different words and paths among the stored
FIXES_A_PATTERN = 20
ANALYSES = 400
DIFF_BYTES = 20_000
SUBMITTED = 3000
WARM_UP = 300
ROUNDS = 5
# By an index, of the repository alone: to count all that is stored again and again would slow what is measured.
CATEGORIZED = "select count(*) from patterns.fix_patterns where repository = $1"
FILLED = "patterns.patterns, patterns.pattern_places, patterns.fix_patterns"

FILL = """
with v as materialized (
  select * from unnest($2::int[], $3::halfvec[], $4::sparsevec[], $5::jsonb[]) as v(n, words, paths, path_terms)
), known as (
  insert into patterns.patterns (id, label, category, support, example_fix_id, first_seen_at, last_seen_at)
  select gen_random_uuid(), 'pattern ' || i, 'bug-fix', 3, gen_random_uuid(), now(), now()
  from generate_series(1, $1::int / $6::int) as i
  returning id
), placed as (
  insert into patterns.pattern_places (pattern_id, words, paths)
  select k.id, v.words, v.paths from (select id, row_number() over () as i from known) k
  join v on v.n = k.i % cardinality($2)
)
insert into patterns.fix_patterns (fix_id, agent_id, repository, submitted_at, title, category, category_confidence,
  categories, embedding, paths, place, path_terms)
select gen_random_uuid(), 'agent', 'owner/name-' || i % $7::int, now() - i * interval '20 seconds', 'title of ' || i,
  'bug-fix', 0.6, '{"bug-fix": 0.6, "performance": 0.1, "refactor": 0.2, "security": 0.1}', v.words, v.paths, i,
  v.path_terms
from generate_series(1, $1::int) as i join v on v.n = i % cardinality($2)
"""


def large(random_: random.Random, size: int) -> str:
    """Several files, together about `size` bytes."""
    text = ""
    while len(text) < size:
        text += one_change(random_, f"src/part{random_.randrange(99)}/module{len(text)}.py")
    return text


async def fill(url: str, stored: int) -> None:
    random_ = random.Random(1)
    places: list[Embedding] = [examine(parse(large(random_, 500)), None, MODEL).embedding for _ in range(PLACES)]
    connection = await asyncpg.connect(url)
    await speak_json(connection)
    await speak_vectors(connection)
    await connection.execute(
        FILL, stored, list(range(PLACES)), [half(p.text) for p in places], [sparse(p.paths) for p in places],
        [p.paths for p in places], FIXES_A_PATTERN, REPOSITORIES, timeout=600,
    )  # fmt: skip
    await connection.execute(f"vacuum analyze {FILLED}", timeout=600)
    await connection.close()


async def analyses(client: Client, url: str) -> None:
    random_, times, floors = random.Random(2), [], []
    database = await asyncpg.connect(url)
    for number in range(ANALYSES):
        body = {
            "diff": large(random_, DIFF_BYTES), "title": "fix: retry the order",
            "repository": f"owner/name-{number % REPOSITORIES}",
        }  # fmt: skip
        started = time.perf_counter()
        status, answer = await client.post("/v1/patterns/analyze", body)
        times.append(1000 * (time.perf_counter() - started))
        if status != 200:
            raise SystemExit(f"analyze answered {status}: {answer[:300]!r}")
        started = time.perf_counter()
        await database.fetchval("select 1")
        floors.append(1000 * (time.perf_counter() - started))
    await database.close()
    ordered, floor = sorted(times[ANALYSES // 10 :]), median(floors)
    p50, p99 = (ordered[int(share * len(ordered))] for share in (0.5, 0.99))
    print(f"analyze, {DIFF_BYTES:,} bytes: p50 {p50:.1f}  p99 {p99:.1f} ms  (a bare select: {floor:.2f} ms)")


async def submissions(place: Platform, url: str) -> None:
    """What waits in the log is taken at once, while scoring takes it too, as in production."""
    database, connection = await asyncpg.connect(url), await nats.connect(place.facts()["nats_url"])
    repository = "acme/shop"
    bodies = fixes(repository, seed=time.time_ns())
    patterns = psutil.Process(place.pids()["patterns"])
    for number in (WARM_UP, SUBMITTED):
        before = await database.fetchval(CATEGORIZED, repository)
        used, started = sum(patterns.cpu_times()[:2]), time.perf_counter()
        sent = [submitted(next(bodies)) for _ in range(number)]
        js = connection.jetstream()
        for at in range(0, number, 100):
            await asyncio.gather(*(js.publish(e.subject, e.payload, headers=e.headers) for e in sent[at : at + 100]))
        while await database.fetchval(CATEGORIZED, repository) < before + number:
            await asyncio.sleep(0.05)
        seconds, cpu = time.perf_counter() - started, sum(patterns.cpu_times()[:2]) - used
    print(
        f"submitted to categorized and indexed: {number / seconds:.0f} fixes/s, published, scored and categorized on "
        f"this machine; {1e6 * cpu / number:.0f} us of CPU each in patterns"
    )
    await connection.close()
    await database.close()


def submitted(body: dict[str, str]) -> Envelope:
    fix = FixSubmitted(id=new_id(), principal="bench", submitted_at=datetime.now(UTC), **body)
    return seal(fix, source="gateway", now=datetime.now(UTC))


def worst() -> Iterator[tuple[str, str]]:
    """Diffs of nearly 1 MiB: what it is, the text."""
    head, size = "diff --git a/a.py b/a.py\n--- a/a.py\n+++ b/a.py\n", MAX_BYTES - 200
    yield "two-byte lines", f"{head}@@ -0,0 +1,{size // 2} @@\n" + "+\n" * (size // 2)
    line = "    total = compute(order.total, user.token) if cached else retry({})\n"
    lines = [line.format(number) for number in range(size // (len(line) + 6))]
    yield "ordinary code", f"{head}@@ -0,0 +1,{len(lines)} @@\n+" + "+".join(lines)
    lines = [f"+{number:05x}\n" for number in range(size // 7)]
    yield "lines of five letters, no two alike", f"{head}@@ -0,0 +1,{len(lines)} @@\n" + "".join(lines)
    lines = ["-a\n+b\n"] * (size // 6)
    yield "lines replaced one by one", f"{head}@@ -1,{len(lines)} +1,{len(lines)} @@\n" + "".join(lines)
    yield "hunks of two lines", head + "@@ -1 +1 @@\n-a\n+b\n" * (size // 18)
    yield "one line", f"{head}@@ -0,0 +1 @@\n+" + "ab " * (size // 3) + "\n"
    small = "diff --git a/s/{0}.py b/s/{0}.py\n--- a/s/{0}.py\n+++ b/s/{0}.py\n@@ -1 +1 @@\n-a\n+b\n"
    yield "12,000 files", "".join(small.format(number) for number in range(11_900))
    renamed = "diff --git a/s/{0}.py b/t/{0}.py\nsimilarity index 100%\nrename from s/{0}.py\nrename to t/{0}.py\n"
    yield "renamed files", "".join(renamed.format(number) for number in range(9_500))
    merged = "diff --cc s/{0}.py\n--- a/s/{0}.py\n+++ b/s/{0}.py\n@@@ -1 -1 +1 @@@\n- a\n -b\n++c\n"
    yield "files of a merge", "".join(merged.format(number) for number in range(11_900))
    parents, empty = 5_000, size - 70_000
    mark, counts = "@" * (parents + 1), f" -1,{empty}" * parents
    yield (
        "a merge of 5,000 parents",
        f"diff --cc a.py\n--- a/a.py\n+++ b/a.py\n{mark}{counts} +1,{empty} {mark}\n" + "\n" * empty,
    )


def reading() -> None:
    for name, text in worst():
        times = []
        for _ in range(ROUNDS):
            started = time.process_time()
            change_features(parse(text))
            times.append(1000 * (time.process_time() - started))
        print(f"parse and features, {len(text) / MAX_BYTES:.2f} MiB, {name}: {median(times):.0f} ms of CPU")


async def main(stored: int) -> None:
    reading()
    async with platform() as place:
        url = place.facts()["database_url"]
        started = time.perf_counter()
        await fill(url, stored)
        patterns, seconds = stored // FIXES_A_PATTERN, time.perf_counter() - started
        print(f"{stored:,} fixes and {patterns:,} patterns stored in {seconds:.0f} s")
        await analyses(Client(place.facts()["gateway_url"], place.key()), url)
        await submissions(place, url)


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else STORED))
