"""Pages of lists: each row once and in order by whatever index they are found, and domains that follow their rows."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from tests.world import Api, World

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
FIX = """
insert into scoring.agent_auto_fixes (id, principal, agent_id, repository, domains, title, submitted_at, scored_at,
  confidence, source, status)
values ($1, 'p', $2, $3, $4, $5, $6, now(), 0.5, 'formula', $7)
"""
CATEGORY = """
insert into patterns.fix_patterns (fix_id, agent_id, repository, submitted_at, category) values ($1, $2, $3, $4, $5)
"""
LEARNING = """
insert into patterns.agent_learnings (id, principal, agent_id, title, body, agent_domains, category, status, embedding,
  created_at)
values ($1, 'p', 'claude', 'A title', 'token may be None', $2, $3, $4, array_fill(1, array[256])::vector::halfvec, $5)
"""
# What the tables of domains have to hold.
FIX_DOMAINS = """
select distinct d as domain, submitted_at, id as fix_id, repository
from scoring.agent_auto_fixes cross join unnest(domains) d where submitted_at is not null
"""
LEARNING_DOMAINS = """
select distinct d as domain, created_at, id as learning_id, status, category, uses, successes
from patterns.agent_learnings cross join unnest(case when agent_domains = '{}' then '{""}' else agent_domains end) d
"""
COUNTS = f"select domain, count(*)::integer as active from ({LEARNING_DOMAINS}) l where status = 'active' group by 1"


async def insert_fixes(owner: asyncpg.Connection) -> list[UUID]:
    """Twelve of two moments each; the newest first."""
    ids = [UUID(int=n) for n in range(1, 13)]
    for n, each in enumerate(ids):
        at, kind = BEGIN + timedelta(hours=n // 2), "security" if n % 3 else "refactor"
        agent, repository = f"agent-{n % 2}", f"acme/{n % 4}"
        status = "failed" if n % 2 else "scored"
        await owner.execute(FIX, each, agent, repository, ["auth", "auth"] if n % 2 else [], f"fix: no-{n}", at, status)
        await owner.execute(CATEGORY, each, agent, repository, at, kind)
    return ids[::-1]


async def paged(api: Api, path: str) -> list[str]:
    """The ids of all pages."""
    seen: list[str] = []
    following = path
    while following:
        answer = await api.get(following)
        assert answer.status_code == 200, answer.text
        seen += [item["id"] for item in answer.json()["items"]]
        following = answer.links["next"]["url"] if "next" in answer.links else ""
    return seen


@pytest.mark.parametrize(
    ("query", "takes"),
    [
        ("", lambda n: True),
        ("domain=auth", lambda n: n % 2),
        ("domain=auth&repository=acme/3", lambda n: n % 4 == 3),
        ("category=security", lambda n: n % 3),
        ("category=security&agent_id=agent-1", lambda n: n % 3 and n % 2),
        ("status=failed", lambda n: n % 2),
        ("q=NO", lambda n: True),
        ("q=fix+no&repository=acme/1", lambda n: n % 4 == 1),
        ("q=fix&agent_id=agent-0", lambda n: n % 2 == 0),
        ("q=10", lambda n: n == 10),
        ("q=0", lambda n: n == 0),
        ("q=!!", lambda n: False),
    ],
)
async def test_every_fix_that_is_asked_for_comes_once_and_the_newest_first(
    world: World, query: str, takes: Any
) -> None:
    ids = await insert_fixes(world.owner)
    api = await world.gateway()
    wanted = [str(each) for each in ids if takes(each.int - 1)]
    for limit in (1, 2, 50):
        assert await paged(api, f"/v1/fixes?{query}&limit={limit}") == wanted
    window = f"since={(BEGIN + timedelta(hours=2)).isoformat()}&until={(BEGIN + timedelta(hours=4)).isoformat()}"
    within = [each for each in wanted if 4 <= UUID(each).int - 1 < 8]
    assert await paged(api, f"/v1/fixes?{query}&limit=1&{window.replace('+', '%2B')}") == within


async def domains(owner: asyncpg.Connection) -> tuple[Sequence[Any], Sequence[Any]]:
    """What is kept of the domains of fixes, and what should be."""
    kept = await owner.fetch("select * from scoring.fix_domains order by 1, 2, 3")
    return kept, await owner.fetch(f"{FIX_DOMAINS} order by 1, 2, 3")


async def test_the_domains_of_fixes_follow_them(world: World) -> None:
    owner = world.owner
    ids = await insert_fixes(owner)
    stub = uuid4()
    await owner.execute("insert into scoring.agent_auto_fixes (id, category) values ($1, 'security')", stub)
    complete = "set domains = '{db}', submitted_at = now(), repository = 'acme/1', agent_id = 'a'"
    for change in (
        f"update scoring.agent_auto_fixes {complete} where id = '{stub}'",
        f"update scoring.agent_auto_fixes set status = 'failed' where id = '{ids[0]}'",
        f"update scoring.agent_auto_fixes set domains = '{{db,ui}}' where id = '{ids[1]}'",
        f"delete from scoring.agent_auto_fixes where id in ('{ids[0]}', '{ids[1]}')",
    ):
        await owner.execute(change)
        kept, right = await domains(owner)
        assert kept == right, change
        assert kept


async def test_the_domains_of_learnings_and_their_number_follow_them(world: World) -> None:
    owner, ids = world.owner, [uuid4() for _ in range(4)]
    for each, (names, status) in zip(
        ids, [(["auth", "db"], "active"), ([], "active"), (["db", "db"], "active"), (["ui"], "held")], strict=True
    ):
        await owner.execute(LEARNING, each, names, "security", status, BEGIN)
    for change in (
        "update patterns.agent_learnings set title = 'Another'",
        f"update patterns.agent_learnings set agent_domains = '{{ui}}' where id = '{ids[0]}'",
        "update patterns.agent_learnings set uses = 4, successes = 3",
        f"update patterns.agent_learnings set status = 'superseded', category = null where id = '{ids[2]}'",
        f"update patterns.agent_learnings set status = 'active' where id = '{ids[3]}'",
        f"delete from patterns.agent_learnings where id in ('{ids[0]}', '{ids[1]}')",
    ):
        await owner.execute(change)
        kept = await owner.fetch(
            "select domain, created_at, learning_id, status, category from patterns.learning_domains order by 1, 2, 3"
        )
        right = await owner.fetch(f"{LEARNING_DOMAINS} order by 1, 2, 3")
        assert [tuple(row) for row in kept] == [tuple(row)[:5] for row in right], change
        counted = await owner.fetch("select * from patterns.learning_domain_counts where active <> 0 order by 1")
        assert counted == await owner.fetch(f"{COUNTS} order by 1"), change
        assert counted


async def test_a_learning_is_found_by_its_words_and_domain_unless_it_is_held(world: World) -> None:
    ids = [uuid4() for _ in range(3)]
    for each, status in zip(ids, ("active", "held", "superseded"), strict=True):
        await world.owner.execute(LEARNING, each, ["auth"], "security", status, BEGIN)
    api = await world.gateway()
    shown = sorted((str(ids[0]), str(ids[2])), reverse=True)
    for query, wanted in {
        "q=token+NONE": shown, "q=token&domain=auth": shown, "q=token&domain=db": [], "q=none&agent_id=claude": shown,
        "q=none&agent_id=devin": [], "q=tok": [], "domain=auth&status=held": [str(ids[1])], "domain=": [],
    }.items():  # fmt: skip
        assert await paged(api, f"/v1/learnings?{query}&limit=1") == wanted, query


async def assert_paged(api: Api, path: str, wanted: str, limits: Sequence[int]) -> None:
    """`wanted` is what a plain query finds, behind its `from`."""
    ids = [str(row["id"]) for row in await api.world.owner.fetch(f"select id from {wanted}")]
    for limit in limits:
        assert await paged(api, f"{path}&limit={limit}") == ids, (path, limit)


async def test_words_of_one_agent_or_domain_are_found_however_its_learnings_lie_in_time(world: World) -> None:
    """Many at a time, few, and none for long; two at one moment."""
    await world.owner.execute(
        "insert into patterns.agent_learnings (id, principal, agent_id, title, body, agent_domains, status, embedding, "
        "created_at) select gen_random_uuid(), 'p', 'agent-' || n % 3, case when n % 4 = 0 then 'token' else 'lock' "
        "end, case when n % 5 = 0 then 'rare' else '' end, case when n % 2 = 0 then '{auth,db}' else '{db}' "
        "end::text[], case when n % 7 = 0 then 'held' else 'active' end, array_fill(1, array[256])::vector::halfvec, "
        "timestamptz '2026-01-01' + case when n < 300 then n / 2 * interval '20 minutes' "
        "else n * interval '1 day' end from generate_series(1, 400) n"
    )
    api = await world.gateway()
    for query, says in {
        "q=token&agent_id=agent-1": "agent_id = 'agent-1' and title = 'token'",
        "q=rare&agent_id=agent-2": "agent_id = 'agent-2' and body = 'rare'",
        "q=token+rare&domain=auth": "'auth' = any(agent_domains) and title = 'token' and body = 'rare'",
        "q=lock&domain=db": "'db' = any(agent_domains) and title = 'lock'",
        "q=token&domain=ui": "false",
    }.items():
        wanted = f"patterns.agent_learnings where {says} and status <> 'held' order by created_at desc, id desc"
        await assert_paged(api, f"/v1/learnings?{query}", wanted, limits=(7, 200))


async def test_words_of_fixes_are_found_however_they_lie_in_time(world: World) -> None:
    """Common, rare, at all times or long ago alone; two at one moment."""
    await world.owner.execute(
        "insert into scoring.agent_auto_fixes (id, principal, agent_id, repository, domains, title, submitted_at, "
        "scored_at, confidence, source, status) select gen_random_uuid(), 'p', 'agent-' || n % 3, 'acme/' || n % 5, "
        "'{}', concat_ws(' ', 'fix', case when n % 2 = 0 then 'token' else 'lock' end, case when n % 50 = 0 then "
        "'rare' end, case when n <= 1200 then 'ancient' end), timestamptz '2026-01-01' + case when n <= 1400 then "
        "n / 2 * interval '1 minute' else (n - 1394) * interval '4 hours' end, now(), 0.5, 'formula', 'scored' "
        "from generate_series(1, 3000) n"
    )
    api = await world.gateway()
    for query, says in {
        "q=fix": "true",
        "q=rare": "title ~ 'rare'",
        "q=rare+fix&agent_id=agent-1": "title ~ 'rare' and agent_id = 'agent-1'",
        "q=token+fix&repository=acme/3": "title ~ 'token' and repository = 'acme/3'",
        "q=ancient": "title ~ 'ancient'",
        "q=ancient&until=2026-04-03T00:00:00Z": "title ~ 'ancient'",
        "q=ancient+lock&agent_id=agent-2": "title ~ 'lock ancient' and agent_id = 'agent-2'",
        "q=token&since=2026-01-01T05:00:00Z&until=2027-02-01T00:00:00Z": "title ~ 'token' and submitted_at >= "
        "'2026-01-01T05:00:00Z' and submitted_at < '2027-02-01T00:00:00Z'",
        "q=rare&until=2026-01-01T05:00:00Z": "title ~ 'rare' and submitted_at < '2026-01-01T05:00:00Z'",
        "q=fix&agent_id=nobody": "false",
    }.items():
        wanted = f"scoring.agent_auto_fixes where {says} order by submitted_at desc, id desc"
        await assert_paged(api, f"/v1/fixes?{query}", wanted, limits=(33, 200))
