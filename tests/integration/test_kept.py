"""Tables that triggers keep say what would be counted anew: after every change, and of what was there before them."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import asyncpg
import pytest

from shared.migrate import DIRECTORY, migrate
from tests.servers import Servers
from tests.world import World

# What is kept, and what it is kept of.
KEPT = {
    "scoring.judged_predictions": (
        "select fix_id, model_version, scored_at, confidence, held from scoring.judged_predictions",
        "select id, model_version, scored_at, confidence, held from scoring.live_outcomes "
        "where model_version is not null",
    ),
    "patterns.collaboration_summaries": (
        "select collaboration_id, agents, votes_cast, solutions from patterns.collaboration_summaries",
        "select collaboration_id, agents, votes_cast, solutions from patterns.collaboration_counts",
    ),
    "patterns.collaboration_agents": (
        "select agent_id, created_at, collaboration_id, status from patterns.collaboration_agents",
        "select distinct m.agent_id, c.created_at, c.id, c.status from patterns.agent_collaborations c "
        "join patterns.collaboration_members m on m.collaboration_id = c.id",
    ),
}
FIXES = """
insert into scoring.agent_auto_fixes (id, principal, agent_id, repository, submitted_at, scored_at, confidence, source,
  model_version, imported, status)
select md5('fix' || n)::uuid, 'p', 'a', 'r', now() - n * interval '1 hour', now() - n * interval '1 hour', n / 50.0,
  'model', case when n % 5 > 0 then 'confidence-' || n % 2 end, n % 7 = 0, 'scored' from generate_series(1, 40) n
"""
OUTCOMES = """
insert into scoring.fix_outcomes (outcome_id, fix_id, reporter, kind, observed_at, reported_at, imported, state,
  effective)
select md5(k || ' ' || n)::uuid, md5('fix' || n)::uuid, 'ci', k,
  now() - n * interval '1 hour' + case when n % 11 = 0 then -1 else 1 end * interval '1 minute', now(), false,
  'accepted', n % 3 > 0 and k = case when n % 2 = 0 then 'held' else 'reverted' end
from generate_series(1, 40) n cross join unnest(array['held', 'reverted', 'merged']) k
"""
COLLABORATIONS = """
insert into patterns.agent_collaborations (id, principal, agent_id, title, collaboration_type, quorum, margin, deadline)
select md5('case' || n)::uuid, 'p0', 'a', 't', 'review', 1, 1, now() from generate_series(1, 12) n
"""
MEMBERS = """
insert into patterns.collaboration_members (collaboration_id, principal, agent_id)
select md5('case' || n)::uuid, 'p' || m, 'agent-' || (n * m) % 3 from generate_series(1, 12) n, generate_series(0, 3) m
"""
SOLUTIONS = """
insert into patterns.collaboration_solutions (id, collaboration_id, principal, agent_id, title, body)
select md5('solution' || n || s)::uuid, md5('case' || n)::uuid, 'p' || s, 'a', 't', 'b "quoted"'
from generate_series(1, 11) n, generate_series(1, 2) s
"""
VOTES = """
insert into patterns.collaboration_votes (solution_id, principal, collaboration_id, value, reason)
select md5('solution' || n || s)::uuid, 'p' || v, md5('case' || n)::uuid, case when (n + v) % 2 = 0 then 1 else -1 end,
  case when v = 1 then 'because' end from generate_series(1, 10) n, generate_series(1, 2) s, generate_series(1, 3) v
"""
CLOSED = """
update patterns.agent_collaborations set status = 'resolved', accepted_solution_id = md5('solution' || 1)::uuid
where id in (select md5('case' || n)::uuid from generate_series(1, 6) n)
"""
WRITTEN = (FIXES, OUTCOMES, COLLABORATIONS, MEMBERS, SOLUTIONS, VOTES, CLOSED)
CHANGED = (
    "update scoring.fix_outcomes set effective = false where effective and fix_id::text < '4'",
    "update scoring.fix_outcomes set effective = true where kind = 'held' and fix_id::text < '2'",
    "update scoring.fix_outcomes set kind = 'fixed_again' where effective and fix_id::text between '8' and 'a'",
    "update scoring.fix_outcomes set observed_at = scored_at - interval '1 hour' from scoring.agent_auto_fixes "
    "where id = fix_id and effective and fix_id::text > 'e'",
    "delete from scoring.fix_outcomes where fix_id::text > 'c' and fix_id::text < 'd'",
    "update patterns.collaboration_votes set value = -value, reason = 'after all' where principal = 'p2'",
    "update patterns.agent_collaborations set status = 'expired' where id = md5('case11')::uuid",
)


async def differences(owner: asyncpg.Connection) -> dict[str, Sequence[asyncpg.Record]]:
    """What is kept and should not be, or the other way round; and that there is something at all."""
    found = {}
    for table, (kept, counted) in KEPT.items():
        assert await owner.fetchval(f"select count(*) from {table}") > 0
        found[table] = await owner.fetch(f"({kept} except {counted}) union all ({counted} except {kept})")
    return {table: rows for table, rows in found.items() if rows}


async def test_triggers_keep_what_would_be_counted(world: World) -> None:
    for sql in WRITTEN:
        await world.owner.execute(sql)
    assert await differences(world.owner) == {}
    for sql in CHANGED:
        assert await world.owner.execute(sql) not in ("UPDATE 0", "DELETE 0"), sql
        assert await differences(world.owner) == {}, sql


async def test_what_was_there_before_is_kept_as_well(servers: Servers, tmp_path: Path) -> None:
    for path in DIRECTORY.iterdir():
        if path.name < "0057":
            shutil.copy(path, tmp_path)
    server = await asyncpg.connect(servers.postgres_url)
    await server.execute("create database of_before")
    try:
        await migrate(servers.database_url("of_before"), tmp_path)
        owner = await asyncpg.connect(servers.database_url("of_before"))
        for sql in (*WRITTEN, *CHANGED):
            await owner.execute(sql)
        await migrate(servers.database_url("of_before"))
        assert await differences(owner) == {}
        await owner.close()
    finally:
        await server.execute("drop database of_before with (force)")
        await server.close()


@pytest.mark.parametrize("status", ["open", "resolved"])
async def test_a_summary_is_blind_until_its_collaboration_is_closed(world: World, status: str) -> None:
    for sql in WRITTEN:
        await world.owner.execute(sql)
    rows = await world.owner.fetch(
        "select jsonb_array_elements(solutions) ->> 'votes_for' as votes from patterns.collaboration_summaries "
        "join patterns.agent_collaborations on id = collaboration_id where status = $1",
        status,
    )
    assert {row["votes"] is None for row in rows} == {status == "open"}
