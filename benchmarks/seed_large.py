"""A large deployment's rows: as many fixes and learnings as ROWS says (a million), a tenth as many collaborations.

`python -m benchmarks.seed_large` fills the database of PRECEDENT_DATABASE_URL (its owner's), or that of the platform in
PRECEDENT_HOME, which has to be empty. Every value follows from its row's number, so each run makes the same rows. What
matters to an index is uneven, as it is in life: domains, agents, repositories and words from one in ten rows to one in
ten thousand, some only long ago; the newest month is unsettled; changes and titles are of ordinary length.
"""

import asyncio
import os
import sys
import time
from collections.abc import Sequence

import asyncpg

from cli.platform import platform_urls
from shared.features.vector import FEATURE_SET, FEATURES

ROWS = 1_000_000
LOADED = (
    "scoring.agent_auto_fixes", "scoring.fix_domains", "scoring.fix_outcomes", "scoring.author_history",
    "scoring.file_history", "scoring.repository_history", "patterns.patterns", "patterns.pattern_places",
    "patterns.fix_patterns", "patterns.agent_learnings", "patterns.learning_domains", "patterns.learning_domain_counts",
    "patterns.learning_uses", "patterns.learning_versions", "patterns.agent_collaborations",
    "patterns.collaboration_members", "patterns.collaboration_solutions", "patterns.collaboration_votes",
)  # fmt: skip

# `u`: evenly in [0, 1), another for each salt; `skewed`: from 1 to `most`, each half as likely as those of half its
# size; `at`: the time of a row, over two years that end at noon of a fixed day.
TOOLS = """
create function pg_temp.u(i bigint, salt bigint) returns double precision language sql immutable
return (hashint8extended(i, salt) & 2147483647)::double precision / 2147483648;
create function pg_temp.skewed(i bigint, salt bigint, most integer) returns integer language sql immutable
return floor(exp(pg_temp.u(i, salt) * ln(most)))::integer;
create function pg_temp.id(kind text, i bigint) returns uuid language sql immutable return md5(kind || i)::uuid;
create function pg_temp.at(i bigint, rows bigint) returns timestamptz language sql immutable
return timestamptz '2026-11-01 12:00Z' - interval '730 days' * ((rows - i)::double precision / rows);
create function pg_temp.word(k integer) returns text language sql immutable
return translate(lpad(to_hex((k * 40503) % 65536), 4, '0'), '0123456789abcdef', 'abcdefghiklmnopr');
-- A domain of before: one in seven has no row of the last 16 months.
create function pg_temp.domain(i bigint, salt bigint, rows bigint) returns text language sql immutable
return 'domain-' || (pg_temp.skewed(i, salt, 1000)
  + case when i > rows / 3 and pg_temp.skewed(i, salt, 1000) % 7 = 3 then 1 else 0 end);
create temp table phrases as
select n::integer, (
  select string_agg(pg_temp.word(pg_temp.skewed(n * 16 + w, 1, 4000)), ' ') from generate_series(1, 5) w
) as text from generate_series(0, 49999) n;
create temp table vectors as
select n::integer, l2_normalize((select array_agg((pg_temp.u(n * 256 + d, 2) - 0.5)::real order by d)
  from generate_series(1, 256) d)::vector(256))::halfvec(256) as v from generate_series(0, 999) n;
alter table phrases add primary key (n);
alter table vectors add primary key (n);
analyze phrases, vectors;
"""
FIXES = """
insert into scoring.agent_auto_fixes (id, principal, agent_id, repository, external_id, author, title, fix_type,
  domains, imported, submitted_at, diff, status, scored_at, confidence, source, model_version, evidence, low_evidence,
  decision, features, feature_set, as_of, paths, category, category_confidence, categorized_revision)
select pg_temp.id('fix', i), 'seed', 'agent-' || pg_temp.skewed(i, 10, 50),
  'owner/name-' || pg_temp.skewed(i, 11, 500), 'seed-' || i, 'author-' || pg_temp.skewed(i, 12, 2000),
  'fix: ' || p.text, 'fix',
  case when pg_temp.u(i, 13) < 0.2 then '{}' when pg_temp.u(i, 13) < 0.7 then array[pg_temp.domain(i, 14, $1)]
    else array[pg_temp.domain(i, 14, $1), pg_temp.domain(i, 15, $1)] end,
  pg_temp.u(i, 16) < 0.7, pg_temp.at(i, $1), q.text || repeat('+ a line of a change, as long as they are ' || i, 15),
  case when i > $1 * 0.96 then 'scored' when pg_temp.u(i, 17) < 0.8 then 'succeeded' when pg_temp.u(i, 17) < 0.92
    then 'failed' when pg_temp.u(i, 17) < 0.999 then 'scored' else 'rejected' end,
  pg_temp.at(i, $1) + interval '1 second', 0.5 + pg_temp.u(i, 18) / 2, 'model', 'confidence-0', 20, false, 'review',
  $2::float8[], $3, pg_temp.at(i, $1), array['src/' || p.n || '.py'],
  (array['bug-fix', 'performance', 'security', 'refactor', 'bug-fix'])[1 + floor(5 * pg_temp.u(i, 19))], 0.7, 0
from generate_series(1, $1::bigint) i
join phrases p on p.n = floor(50000 * pg_temp.u(i, 20)) join phrases q on q.n = floor(50000 * pg_temp.u(i, 21))
order by i
"""
OUTCOMES = """
insert into scoring.fix_outcomes (outcome_id, fix_id, reporter, kind, observed_at, reported_at, imported, state,
  effective)
select pg_temp.id('outcome', i), pg_temp.id('fix', i), 'reporter-' || i % 5,
  case when pg_temp.u(i, 17) < 0.8 then 'held' else 'reverted' end, pg_temp.at(i, $1) + interval '29 days',
  pg_temp.at(i, $1) + interval '29 days', pg_temp.u(i, 16) < 0.7, 'accepted', true
from generate_series(1, floor($1::bigint * 0.96)::bigint) i where pg_temp.u(i, 17) < 0.92
"""
HISTORY = """
with files as (
  insert into scoring.file_history (repository, path, day, changes, failures, last_change_at, last_failure_at)
  select 'owner/name-' || pg_temp.skewed(i, 11, 500), 'src/' || floor(50000 * pg_temp.u(i, 20)) || '.py',
    pg_temp.at(i, $1)::date, count(*), count(*) / 8, max(pg_temp.at(i, $1)),
    case when count(*) >= 8 then max(pg_temp.at(i, $1)) end
  from generate_series(1, $1::bigint) i group by 1, 2, 3
), people as (
  insert into scoring.author_history (repository, role, actor, day, changes, failures, last_change_at, last_failure_at)
  select 'owner/name-' || pg_temp.skewed(i, 11, 500), role, role || '-' || pg_temp.skewed(i, salt, most),
    pg_temp.at(i, $1)::date, count(*), count(*) / 8, max(pg_temp.at(i, $1)),
    case when count(*) >= 8 then max(pg_temp.at(i, $1)) end
  from generate_series(1, $1::bigint) i cross join (values ('author', 12, 2000), ('agent', 10, 50)) v(role, salt, most)
  group by 1, 2, 3, 4
)
insert into scoring.repository_history (repository, day, changes, failures, last_change_at, last_failure_at)
select 'owner/name-' || pg_temp.skewed(i, 11, 500), pg_temp.at(i, $1)::date, count(*), count(*) / 8,
  max(pg_temp.at(i, $1)), case when count(*) >= 8 then max(pg_temp.at(i, $1)) end
from generate_series(1, $1::bigint) i group by 1, 2
"""
PATTERNS = """
with known as (
  insert into patterns.patterns (id, label, category, support, example_fix_id, first_seen_at, last_seen_at)
  select pg_temp.id('pattern', i), p.text, 'bug-fix', 3 + pg_temp.skewed(i, 30, 500), pg_temp.id('fix', i * 20),
    pg_temp.at(i * 20, $1), pg_temp.at($1, $1)
  from generate_series(1, $1::bigint / 20) i join phrases p on p.n = i % 50000
)
insert into patterns.pattern_places (pattern_id, words)
select pg_temp.id('pattern', i), l2_normalize(a.v + b.v) from generate_series(1, $1::bigint / 20) i
join vectors a on a.n = i % 1000 join vectors b on b.n = i / 1000
"""
CATEGORIZED = """
insert into patterns.fix_patterns (fix_id, agent_id, repository, submitted_at, title, category, category_confidence,
  categories, security_rank, pattern_id, novelty, languages, embedding, place, path_terms, settled)
select f.id, f.agent_id, f.repository, f.submitted_at, f.title, f.category, 0.7,
  '{"bug-fix": 0.7, "performance": 0.1, "refactor": 0.1, "security": 0.1}', 0.1,
  pg_temp.id('pattern', pg_temp.skewed(hashtextextended(f.external_id, 31), 31, ($1::bigint / 20)::integer)), 0.3,
  '{"python": 1}', l2_normalize(a.v + b.v), hashtextextended(f.paths[1], 0), '{"src": 1, "py": 1}',
  f.status in ('succeeded', 'failed')
from scoring.agent_auto_fixes f
join vectors a on a.n = abs(hashtext(f.external_id)) % 1000 join vectors b on b.n = abs(hashtext(f.title)) % 1000
order by f.submitted_at
"""
LEARNINGS = """
insert into patterns.agent_learnings (id, principal, agent_id, title, body, agent_domains, category, pattern_id, uses,
  successes, status, embedding, created_at, updated_at)
select pg_temp.id('learning', i), 'seed', 'agent-' || pg_temp.skewed(i, 40, 50), p.text,
  concat_ws(' ', q.text, r.text, s.text, t.text, q.text, s.text),
  case when pg_temp.u(i, 41) < 0.05 then '{}' when pg_temp.u(i, 41) < 0.6 then array[pg_temp.domain(i, 42, $1)]
    else array[pg_temp.domain(i, 42, $1), pg_temp.domain(i, 43, $1)] end,
  (array['bug-fix', 'performance', 'security', 'refactor', null])[1 + floor(5 * pg_temp.u(i, 44))],
  case when pg_temp.u(i, 45) < 0.5 then pg_temp.id('pattern', pg_temp.skewed(i, 46, ($1::bigint / 20)::integer)) end,
  g.uses, floor(g.uses * (0.5 + pg_temp.u(i, 47) / 2)),
  case when pg_temp.u(i, 48) < 0.95 then 'active' when pg_temp.u(i, 48) < 0.98 then 'superseded' else 'held' end,
  l2_normalize(a.v + b.v), pg_temp.at(i, $1), pg_temp.at(i, $1)
from generate_series(1, $1::bigint) i
cross join lateral (select pg_temp.skewed(i, 49, 40) - 1 as uses) g
join phrases p on p.n = floor(50000 * pg_temp.u(i, 50)) join phrases q on q.n = floor(50000 * pg_temp.u(i, 51))
join phrases r on r.n = floor(50000 * pg_temp.u(i, 52)) join phrases s on s.n = floor(50000 * pg_temp.u(i, 53))
join phrases t on t.n = floor(50000 * pg_temp.u(i, 54))
join vectors a on a.n = i % 1000 join vectors b on b.n = i / 1000 % 1000
order by i
"""
VERSIONS = """
insert into patterns.learning_versions (learning_id, version, title, body, agent_domains, status, held_reasons,
  replaced_by)
select l.id, 1, l.title, l.body, l.agent_domains, l.status, '{}', 'seed'
from generate_series(1, $1::bigint, 5) i join patterns.agent_learnings l on l.id = pg_temp.id('learning', i)
"""
USES = """
insert into patterns.learning_uses (learning_id, fix_id, succeeded, revision)
select distinct pg_temp.id('learning', 1 + floor($1 * pg_temp.u(i, 60))::bigint), pg_temp.id('fix', i),
  pg_temp.u(i, 17) < 0.8, 1
from generate_series(1, $1::bigint) i
"""
COLLABORATIONS = """
insert into patterns.agent_collaborations (id, principal, agent_id, title, collaboration_type, agent_domains, status,
  progress, quorum, margin, deadline, accepted_solution_id, created_at, closed_at)
select pg_temp.id('case', i), 'seed', 'agent-' || pg_temp.skewed(i, 70, 50), p.text,
  (array['review', 'debug', 'design', 'incident'])[1 + floor(4 * pg_temp.u(i, 71))],
  array[pg_temp.domain(i, 72, $1 / 10)], s.status, 0.5, 3, 1, pg_temp.at(i, $1 / 10) + interval '1 day',
  case when s.status = 'resolved' then pg_temp.id('solution', i * 2) end, pg_temp.at(i, $1 / 10),
  case when s.status <> 'open' then pg_temp.at(i, $1 / 10) + pg_temp.u(i, 73) * interval '1 day' end
from generate_series(1, $1::bigint / 10) i
cross join lateral (
  select case when i > $1 / 10 - 500 then 'open' when pg_temp.u(i, 74) < 0.8 then 'resolved' else 'expired' end status
) s
join phrases p on p.n = floor(50000 * pg_temp.u(i, 75))
order by i
"""
MEMBERS = """
insert into patterns.collaboration_members (collaboration_id, principal, agent_id)
select pg_temp.id('case', i), 'p' || m, 'agent-' || pg_temp.skewed(i, 70 + m, 50)
from generate_series(1, $1::bigint / 10) i cross join generate_series(0, 3) m
order by i
"""
SOLUTIONS = """
insert into patterns.collaboration_solutions (id, collaboration_id, principal, agent_id, title, body, created_at)
select pg_temp.id('solution', i * 2 + s), pg_temp.id('case', i), 'p' || s, 'agent-1', p.text, p.text || ' ' || q.text,
  pg_temp.at(i, $1 / 10)
from generate_series(1, $1::bigint / 10) i cross join generate_series(0, 1) s
join phrases p on p.n = (i + s) % 50000 join phrases q on q.n = (i + s + 1) % 50000
order by i, s
"""
VOTES = """
insert into patterns.collaboration_votes (solution_id, principal, collaboration_id, value)
select pg_temp.id('solution', i * 2 + s), 'p' || v, pg_temp.id('case', i),
  case when pg_temp.u(i * 8 + v, 76) < 0.7 then 1 else -1 end
from generate_series(1, $1::bigint / 10) i cross join generate_series(0, 1) s cross join generate_series(1, 3) v
"""
STEPS = {
    "outcomes": OUTCOMES, "history": HISTORY, "patterns": PATTERNS, "categories": CATEGORIZED, "learnings": LEARNINGS,
    "versions": VERSIONS, "uses": USES, "collaborations": COLLABORATIONS, "members": MEMBERS, "solutions": SOLUTIONS,
    "votes": VOTES,
}  # fmt: skip

SESSION = "set synchronous_commit = off; set maintenance_work_mem = '2GB'; set work_mem = '256MB'"
INDEXES = """
select indexrelid::regclass::text as name, pg_get_indexdef(indexrelid) as made_by from pg_index
where indrelid = any($1::text[]::regclass[]) and not indisunique
"""


async def fill(url: str, rows: int) -> None:
    """Raises `SystemExit` where fixes are already."""
    connection = await asyncpg.connect(url, command_timeout=None)
    try:
        if await connection.fetchval("select exists (select from scoring.agent_auto_fixes)"):
            raise SystemExit("there are fixes already: seed an empty deployment")
        await connection.execute(
            "set synchronous_commit = off; set maintenance_work_mem = '2GB'; set work_mem = '256MB'"
        )
        indexes = await connection.fetch(INDEXES, LOADED)
        for index in indexes:
            await connection.execute(f"drop index {index['name']}")
        try:
            await load(connection, rows)
        finally:
            for index in indexes:
                await timed(index["name"], connection.execute(index["made_by"]))
        await timed("statistics", connection.execute(f"vacuum (analyze) {', '.join(LOADED)}"))
        await connection.execute("select scoring.refresh_agent_stats(), patterns.refresh_collaboration_stats()")
        await connection.execute("checkpoint")
    finally:
        await connection.close()


async def load(connection: asyncpg.Connection, rows: int) -> None:
    await timed("tools", connection.execute(TOOLS))
    await timed("fixes", connection.execute(FIXES, rows, [0.5] * len(FEATURES), FEATURE_SET))
    await connection.execute("analyze scoring.agent_auto_fixes")
    for name, sql in STEPS.items():
        await timed(name, connection.execute(sql, rows))


async def timed(name: str, work: object) -> None:
    started = time.perf_counter()
    await work  # type: ignore[misc]
    print(f"  {name:<48} {time.perf_counter() - started:7.1f} s", flush=True)


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
