"""A large deployment's rows: as many fixes and learnings as ROWS says (a million), a tenth as many collaborations.

`python -m benchmarks.seed_large` fills the database of PRECEDENT_DATABASE_URL (its owner's), or that of the platform in
PRECEDENT_HOME, which has to be empty. Every value follows from its row's number, so each run makes the same rows. What
matters to an index is uneven, as it is in life: domains, agents, repositories and words from one in ten rows to one in
ten thousand, some only long ago; learnings of one half day are about one thing; the newest month is unsettled. The text
of a change is there for the newest three months: what is older has been let go, see `docs/retention.md`.

Every core has a session, and what comes next is taken by whichever is free: first the rows, which triggers see as they
see any other, then the indexes and keys that the catalog told of before they were dropped.
"""

import asyncio
import os
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from cli.platform import platform_urls
from shared.features.vector import FEATURE_SET, FEATURES

ROWS = 1_000_000
LOADED = (
    "scoring.agent_auto_fixes", "scoring.fix_domains", "scoring.fix_outcomes", "scoring.judged_predictions",
    "scoring.author_history", "scoring.file_history", "scoring.repository_history", "patterns.patterns",
    "patterns.pattern_places", "patterns.fix_patterns", "patterns.agent_learnings", "patterns.learning_domains",
    "patterns.learning_domain_counts", "patterns.learning_uses", "patterns.learning_versions",
    "patterns.agent_collaborations", "patterns.collaboration_members", "patterns.collaboration_solutions",
    "patterns.collaboration_votes", "patterns.collaboration_summaries", "patterns.collaboration_agents",
)  # fmt: skip

# `u`: evenly in [0, 1), another for each salt; `skewed`: from 1 to `most`, each half as likely as those of half its
# size; `at`: the time of a row, over two years that end at noon of 2026-11-01. All are written so that Postgres puts
# their body in place of the call, which takes a tenth of the time: of immutable parts only.
TOOLS = """
create function pg_temp.u(i bigint, salt bigint) returns double precision language sql immutable
return (hashint8extended(i, salt) & 2147483647)::double precision / 2147483648;
create function pg_temp.skewed(i bigint, salt bigint, most integer) returns integer language sql immutable
return floor(exp(pg_temp.u(i, salt) * ln(most)))::integer;
create function pg_temp.id(kind text, i bigint) returns uuid language sql immutable return md5(kind || i::text)::uuid;
create function pg_temp.at(i bigint, rows bigint) returns timestamptz language sql immutable
return to_timestamp(1793534400 - 730 * 86400 * ((rows - i)::double precision / rows));
create function pg_temp.phrase(i bigint, salt bigint) returns integer language sql immutable
return floor(50000 * pg_temp.u(i, salt))::integer;
create function pg_temp.repository(i bigint) returns text language sql immutable
return 'owner/name-' || pg_temp.skewed(i, 11, 500)::text;
create function pg_temp.category(i bigint) returns text language sql immutable
return (array['bug-fix', 'performance', 'security', 'refactor', 'bug-fix'])[1 + floor(5 * pg_temp.u(i, 19))];
create function pg_temp.word(k integer) returns text language sql immutable
return translate(lpad(to_hex((k * 40503) % 65536), 4, '0'), '0123456789abcdef', 'abcdefghiklmnopr');
-- A domain of before: one in seven has no row of the last 16 months.
create function pg_temp.domain(i bigint, salt bigint, rows bigint) returns text language sql immutable
return 'domain-' || (pg_temp.skewed(i, salt, 1000)
  + case when i > rows / 3 and pg_temp.skewed(i, salt, 1000) % 7 = 3 then 1 else 0 end)::text;
create temp table phrases as
select n::integer, (
  select string_agg(pg_temp.word(pg_temp.skewed(n * 16 + w, 1, 4000)), ' ') from generate_series(1, 5) w
) as text from generate_series(0, 49999) n;
create temp table vectors as
select n::integer, v::halfvec(256), (v * array_fill(0.5, array[256])::vector)::halfvec(256) as half
from generate_series(0, 999) n cross join lateral (select l2_normalize((
  select array_agg((pg_temp.u(n * 256 + d, 2) - 0.5)::real order by d) from generate_series(1, 256) d
)::vector(256)) as v) made;
alter table phrases add primary key (n);
alter table vectors add primary key (n);
analyze phrases, vectors;
"""
# Each makes the rows after $2 up to $3, of $1 in all.
FIXES = """
insert into scoring.agent_auto_fixes (id, principal, agent_id, repository, external_id, author, title, fix_type,
  domains, imported, submitted_at, diff, status, scored_at, confidence, source, model_version, evidence, low_evidence,
  decision, features, feature_set, as_of, paths, category, category_confidence, categorized_revision)
select pg_temp.id('fix', i), 'seed', 'agent-' || pg_temp.skewed(i, 10, 50),
  pg_temp.repository(i), 'seed-' || i, 'author-' || pg_temp.skewed(i, 12, 2000),
  'fix: ' || p.text, 'fix',
  case when pg_temp.u(i, 13) < 0.2 then '{}' when pg_temp.u(i, 13) < 0.7 then array[pg_temp.domain(i, 14, $1)]
    else array[pg_temp.domain(i, 14, $1), pg_temp.domain(i, 15, $1)] end,
  pg_temp.u(i, 16) < 0.7, pg_temp.at(i, $1),
  case when i > $1 * 0.88 then q.text || repeat('+ a line of a change, as long as they are ' || i, 15) end,
  case when i > $1 * 0.96 then 'scored' when pg_temp.u(i, 17) < 0.8 then 'succeeded' when pg_temp.u(i, 17) < 0.92
    then 'failed' when pg_temp.u(i, 17) < 0.999 then 'scored' else 'rejected' end,
  pg_temp.at(i, $1) + interval '1 second', 0.5 + pg_temp.u(i, 18) / 2, 'model', 'confidence-0', 20, false, 'review',
  $4::float8[], $5, pg_temp.at(i, $1), array['src/' || p.n || '.py'], pg_temp.category(i), 0.7, 0
from generate_series($2::bigint + 1, least($3, $1::bigint)) i
join phrases p on p.n = pg_temp.phrase(i, 20) join phrases q on q.n = pg_temp.phrase(i, 21)
order by i
"""
OUTCOMES = """
insert into scoring.fix_outcomes (outcome_id, fix_id, reporter, kind, observed_at, reported_at, imported, state,
  effective)
select pg_temp.id('outcome', i), pg_temp.id('fix', i), 'reporter-' || i % 5,
  case when pg_temp.u(i, 17) < 0.8 then 'held' else 'reverted' end, pg_temp.at(i, $1) + interval '29 days',
  pg_temp.at(i, $1) + interval '29 days', pg_temp.u(i, 16) < 0.7, 'accepted', true
from generate_series($2::bigint + 1, least($3, $1::bigint)) i where i <= $1 * 0.96 and pg_temp.u(i, 17) < 0.92
"""
# As a trigger keeps them, which asks for each fix by its key.
JUDGED = """
insert into scoring.judged_predictions (fix_id, model_version, scored_at, confidence, held)
select pg_temp.id('fix', i), 'confidence-0', pg_temp.at(i, $1) + interval '1 second', 0.5 + pg_temp.u(i, 18) / 2,
  pg_temp.u(i, 17) < 0.8
from generate_series($2::bigint + 1, least($3, $1::bigint)) i
where i <= $1 * 0.96 and pg_temp.u(i, 17) < 0.92 and pg_temp.u(i, 16) >= 0.7
"""
PATTERNS = """
insert into patterns.patterns (id, label, category, support, example_fix_id, first_seen_at, last_seen_at)
select pg_temp.id('pattern', i), p.text, 'bug-fix', 3 + pg_temp.skewed(i, 30, 500), pg_temp.id('fix', i * 20),
  pg_temp.at(i * 20, $1), pg_temp.at($1, $1)
from generate_series($2::bigint / 20 + 1, least($3, $1::bigint) / 20) i join phrases p on p.n = i % 50000
"""
PLACES = """
insert into patterns.pattern_places (pattern_id, words)
select pg_temp.id('pattern', i), l2_normalize(a.v + b.half)
from generate_series($2::bigint / 20 + 1, least($3, $1::bigint) / 20) i
join vectors a on a.n = i / 50 % 1000 join vectors b on b.n = (i + i / 50000) % 1000
order by i
"""
CATEGORIZED = """
insert into patterns.fix_patterns (fix_id, agent_id, repository, submitted_at, title, category, category_confidence,
  categories, security_rank, pattern_id, novelty, languages, embedding, place, path_terms, settled)
select pg_temp.id('fix', i), 'agent-' || pg_temp.skewed(i, 10, 50), pg_temp.repository(i), pg_temp.at(i, $1),
  'fix: ' || p.text, pg_temp.category(i), 0.7,
  '{"bug-fix": 0.7, "performance": 0.1, "refactor": 0.1, "security": 0.1}', 0.1,
  pg_temp.id('pattern', pg_temp.skewed(hashtextextended('seed-' || i, 31), 31, ($1::bigint / 20)::integer)), 0.3,
  '{"python": 1}', l2_normalize(a.v + b.v), hashtextextended('src/' || p.n || '.py', 0), '{"src": 1, "py": 1}',
  i <= $1 * 0.96 and pg_temp.u(i, 17) < 0.92
from generate_series($2::bigint + 1, least($3, $1::bigint)) i join phrases p on p.n = pg_temp.phrase(i, 20)
join vectors a on a.n = abs(hashtext('seed-' || i)) % 1000
join vectors b on b.n = abs(hashtext('fix: ' || p.text)) % 1000
order by i
"""
LEARNINGS = """
with made as (
  select i, pg_temp.id('learning', i) as id, 'agent-' || pg_temp.skewed(i, 40, 50) as agent_id, p.text as title,
    concat_ws(' ', q.text, r.text, s.text, t.text, q.text, s.text) as body,
    case when pg_temp.u(i, 41) < 0.05 then '{}' when pg_temp.u(i, 41) < 0.6 then array[pg_temp.domain(i, 42, $1)]
      else array[pg_temp.domain(i, 42, $1), pg_temp.domain(i, 43, $1)] end as agent_domains,
    case when pg_temp.u(i, 48) < 0.95 then 'active' when pg_temp.u(i, 48) < 0.98 then 'superseded' else 'held' end
      as status,
    l2_normalize(a.v + b.half) as embedding, pg_temp.skewed(i, 49, 40) - 1 as uses
  from generate_series($2::bigint + 1, least($3, $1::bigint)) i
  join phrases p on p.n = pg_temp.phrase(i, 50) join phrases q on q.n = pg_temp.phrase(i, 51)
  join phrases r on r.n = pg_temp.phrase(i, 52) join phrases s on s.n = pg_temp.phrase(i, 53)
  join phrases t on t.n = pg_temp.phrase(i, 54)
  join vectors a on a.n = i / 1000 % 1000 join vectors b on b.n = i % 1000
  order by i
), changed as (
  insert into patterns.learning_versions (learning_id, version, title, body, agent_domains, status, held_reasons,
    replaced_by)
  select id, 1, title, body, agent_domains, status, '{}', 'seed' from made where i % 5 = 1
)
insert into patterns.agent_learnings (id, principal, agent_id, title, body, agent_domains, category, pattern_id, uses,
  successes, status, embedding, created_at, updated_at)
select id, 'seed', agent_id, title, body, agent_domains,
  (array['bug-fix', 'performance', 'security', 'refactor', null])[1 + floor(5 * pg_temp.u(i, 44))],
  case when pg_temp.u(i, 45) < 0.5 then pg_temp.id('pattern', pg_temp.skewed(i, 46, ($1::bigint / 20)::integer)) end,
  uses, floor(uses * (0.5 + pg_temp.u(i, 47) / 2)), status, embedding, pg_temp.at(i, $1), pg_temp.at(i, $1)
from made
"""
USES = """
insert into patterns.learning_uses (learning_id, fix_id, succeeded, revision)
select pg_temp.id('learning', 1 + floor($1 * pg_temp.u(i, 60))::bigint), pg_temp.id('fix', i),
  pg_temp.u(i, 17) < 0.8, 1
from generate_series($2::bigint + 1, least($3, $1::bigint)) i
"""
COLLABORATIONS = """
insert into patterns.agent_collaborations (id, principal, agent_id, title, collaboration_type, agent_domains, status,
  progress, quorum, margin, deadline, accepted_solution_id, created_at, closed_at)
select pg_temp.id('case', i), 'seed', 'agent-' || pg_temp.skewed(i, 70, 50), p.text,
  (array['review', 'debug', 'design', 'incident'])[1 + floor(4 * pg_temp.u(i, 71))],
  array[pg_temp.domain(i, 72, $1 / 10)], s.status, 0.5, 3, 1, pg_temp.at(i, $1 / 10) + interval '1 day',
  case when s.status = 'resolved' then pg_temp.id('solution', i * 2) end, pg_temp.at(i, $1 / 10),
  case when s.status <> 'open' then pg_temp.at(i, $1 / 10) + pg_temp.u(i, 73) * interval '1 day' end
from generate_series($2::bigint / 10 + 1, least($3, $1::bigint) / 10) i
cross join lateral (
  select case when i > $1 / 10 - 500 then 'open' when pg_temp.u(i, 74) < 0.8 then 'resolved' else 'expired' end status
) s
join phrases p on p.n = pg_temp.phrase(i, 75)
order by i
"""
MEMBERS = """
insert into patterns.collaboration_members (collaboration_id, principal, agent_id)
select pg_temp.id('case', i), 'p' || m, 'agent-' || pg_temp.skewed(i, 70 + m, 50)
from generate_series($2::bigint / 10 + 1, least($3, $1::bigint) / 10) i cross join generate_series(0, 3) m
order by i
"""
SOLUTIONS = """
insert into patterns.collaboration_solutions (id, collaboration_id, principal, agent_id, title, body, created_at)
select pg_temp.id('solution', i * 2 + s), pg_temp.id('case', i), 'p' || s, 'agent-1', p.text, p.text || ' ' || q.text,
  pg_temp.at(i, $1 / 10)
from generate_series($2::bigint / 10 + 1, least($3, $1::bigint) / 10) i cross join generate_series(0, 1) s
join phrases p on p.n = (i + s) % 50000 join phrases q on q.n = (i + s + 1) % 50000
order by i, s
"""
VOTES = """
insert into patterns.collaboration_votes (solution_id, principal, collaboration_id, value)
select pg_temp.id('solution', i * 2 + s), 'p' || v, pg_temp.id('case', i),
  case when pg_temp.u(i * 8 + v, 76) < 0.7 then 1 else -1 end
from generate_series($2::bigint / 10 + 1, least($3, $1::bigint) / 10) i
cross join generate_series(0, 1) s cross join generate_series(1, 3) v
"""
# By the keys that are there at the end. Patterns may have closed some that were due, and written theirs.
SUMMARIES = """
insert into patterns.collaboration_summaries (collaboration_id, agents, votes_cast, solutions)
select n.collaboration_id, n.agents, n.votes_cast, n.solutions
from patterns.agent_collaborations c join patterns.collaboration_counts n on n.collaboration_id = c.id
order by c.created_at on conflict do nothing
"""
AGENTS = """
insert into patterns.collaboration_agents (agent_id, created_at, collaboration_id, status)
select distinct m.agent_id, c.created_at, c.id, c.status
from patterns.agent_collaborations c join patterns.collaboration_members m on m.collaboration_id = c.id
on conflict do nothing
"""
# In the order in which a deployment gets them, so that rows of one time lie together.
RANGES = {
    "learnings": LEARNINGS, "fixes": FIXES, "outcomes": OUTCOMES, "judged": JUDGED, "patterns": PATTERNS,
    "places": PLACES, "categories": CATEGORIZED, "uses": USES, "collaborations": COLLABORATIONS, "members": MEMBERS,
    "solutions": SOLUTIONS, "votes": VOTES,
}  # fmt: skip
HISTORY = """
insert into scoring.{table}_history (repository, {key}day, changes, failures, last_change_at, last_failure_at)
select pg_temp.repository(i), {value}pg_temp.at(i, $1)::date, count(*), count(*) / 8, max(pg_temp.at(i, $1)),
  case when count(*) >= 8 then max(pg_temp.at(i, $1)) end
from generate_series(1, $1::bigint) i group by {groups}
"""
# Each of all rows, for a day's bucket is of many.
WHOLE = {
    "history of files": HISTORY.format(
        table="file", key="path, ", value="'src/' || pg_temp.phrase(i, 20) || '.py', ", groups="1, 2, 3"
    ),
    "history of authors": HISTORY.format(
        table="author", key="role, actor, ", value="'author', 'author-' || pg_temp.skewed(i, 12, 2000), ",
        groups="1, 3, 4",
    ),
    "history of agents": HISTORY.format(
        table="author", key="role, actor, ", value="'agent', 'agent-' || pg_temp.skewed(i, 10, 50), ",
        groups="1, 3, 4",
    ),
    "history of repositories": HISTORY.format(table="repository", key="", value="", groups="1, 2"),
}  # fmt: skip
RANGE = 50_000

SESSION = """
set synchronous_commit = off; set maintenance_work_mem = '2GB'; set work_mem = '256MB';
set plan_cache_mode = force_custom_plan;
"""
# What loading is quicker without: (name, how it goes, how it is made). The key that triggers ask for stays.
KEYS = """
select conrelid::regclass || '.' || conname, format('alter table %s drop constraint %I', conrelid::regclass, conname),
  format('alter table %s add constraint %I %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
from pg_constraint
where contype = $2 and (conrelid = any($1::text[]::regclass[]) or confrelid = any($1::text[]::regclass[]))
  and conrelid <> 'patterns.learning_domain_counts'::regclass
"""
# What they keep of these tables, row by row and by keys, is made at once.
TRIGGERED = (
    "scoring.fix_outcomes", "patterns.agent_collaborations", "patterns.collaboration_members",
    "patterns.collaboration_solutions", "patterns.collaboration_votes",
)  # fmt: skip
# The graphs first, which take longest.
INDEXES = """
select indexrelid::regclass::text, 'drop index ' || indexrelid::regclass, pg_get_indexdef(indexrelid)
from pg_index join pg_class c on c.oid = indexrelid join pg_am a on a.oid = c.relam
where indrelid = any($1::text[]::regclass[]) and not exists (select from pg_constraint where conindid = indexrelid)
order by amname = 'hnsw' desc, indrelid = 'patterns.agent_learnings'::regclass desc, indexrelid
"""

Step = tuple[str, str, tuple[Any, ...]]  # name, SQL, arguments


async def fill(url: str, rows: int) -> None:
    """Raises `SystemExit` where fixes are already."""
    owner = await asyncpg.connect(url, command_timeout=None)
    try:
        if await owner.fetchval("select exists (select from scoring.agent_auto_fixes)"):
            raise SystemExit("there are fixes already: seed an empty deployment")
        async with put_aside(url, owner):
            await together(url, load(rows), TOOLS)
        await together(url, [("summaries", SUMMARIES, ()), ("agents", AGENTS, ())])
        await together(url, [(f"statistics of {table}", f"vacuum (analyze) {table}", ()) for table in LOADED])
        await owner.execute("select scoring.refresh_agent_stats(), patterns.refresh_collaboration_stats()")
        await owner.execute("checkpoint")
    finally:
        await owner.close()


@asynccontextmanager
async def put_aside(url: str, owner: asyncpg.Connection) -> AsyncIterator[None]:
    """Without indexes and keys meanwhile, and without autovacuum; they are made again whatever happens.

    Primary keys first, for they lock their table against all others, and what refers to them last.
    """
    references, unique, primary = [await owner.fetch(KEYS, LOADED, kind) for kind in (b"f", b"u", b"p")]
    indexes = await owner.fetch(INDEXES, LOADED)
    made = (primary, unique, indexes, references)
    async with owner.transaction():
        await owner.execute(";".join(f"alter table {table} set (autovacuum_enabled = off)" for table in LOADED))
        await owner.execute(";".join(gone for each in reversed(made) for _, gone, _ in each))
        await owner.execute(";".join(f"alter table {table} disable trigger user" for table in TRIGGERED))
    try:
        yield
    finally:
        await owner.execute(";".join(f"alter table {table} enable trigger user" for table in TRIGGERED))
        for each in made:
            await together(url, [(name, made_by, ()) for name, _, made_by in each])
        await owner.execute(";".join(f"alter table {table} reset (autovacuum_enabled)" for table in LOADED))


def load(rows: int) -> list[Step]:
    fixed = {"fixes": ([0.5] * len(FEATURES), FEATURE_SET)}
    whole = [(name, sql, (rows,)) for name, sql in WHOLE.items()]
    return whole + [
        (name, sql, (rows, low, low + RANGE, *fixed.get(name, ())))
        for name, sql in RANGES.items()
        for low in range(0, rows, RANGE)
    ]


async def together(url: str, steps: Sequence[Step], tools: str = "") -> None:
    """A session for each core, each taking the next step when it is free. All are tried; raises what failed."""
    left, spent, failed = iter(steps), Counter[str](), []

    async def work() -> None:
        connection = await asyncpg.connect(url, command_timeout=None)
        try:
            await connection.execute(SESSION + tools)
            for name, sql, arguments in left:
                started = time.perf_counter()
                try:
                    await connection.execute(sql, *arguments)
                except asyncpg.PostgresError as error:
                    failed.append(error)
                spent[name] += time.perf_counter() - started
        finally:
            await connection.close()

    await asyncio.gather(*(work() for _ in range(min(len(steps), os.cpu_count() or 1))))
    for name, seconds in spent.items():
        print(f"  {name:<48} {seconds:7.1f} s", flush=True)
    if failed:
        raise ExceptionGroup("not everything was done", failed)


def database_url() -> str:
    found = os.environ.get("PRECEDENT_DATABASE_URL") or platform_urls().get("database_url")
    if not found:
        raise SystemExit("no platform runs in PRECEDENT_HOME: `make run` first, or set PRECEDENT_DATABASE_URL")
    return str(found)


def rows_wanted(arguments: Sequence[str]) -> int:
    return int(arguments[0] if arguments else os.environ.get("ROWS") or ROWS)


async def main() -> None:
    rows, started = rows_wanted(sys.argv[1:]), time.perf_counter()
    await fill(database_url(), rows)
    print(
        f"{rows:,} fixes, {rows:,} learnings and {rows // 10:,} collaborations in {time.perf_counter() - started:.0f} s"
    )


if __name__ == "__main__":
    asyncio.run(main())
