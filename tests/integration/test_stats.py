"""`/v1/stats`: how agents and collaborations fared, from views that follow what happens."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from services.gateway.intervals import interval
from shared.database import Database
from shared.generations import FIXES, Generations, every
from shared.refreshing import LEAST_PAUSE_SECONDS, Refreshed
from shared.telemetry import new_registry
from tests.diffs import fix
from tests.world import Api, World, eventually

CASE = {"agent_id": "claude", "title": "Logins fail after a deploy", "collaboration_type": "incident", "quorum": 1}
IDEA = {"agent_id": "claude", "title": "Warm the session cache first", "body": "Fill it before sessions are read."}


async def fared(world: World, agent: str, statuses: Sequence[str], confidence: float) -> None:
    await world.owner.executemany(
        "insert into scoring.agent_auto_fixes (id, principal, agent_id, repository, submitted_at, scored_at, "
        "confidence, source, status) values ($1, 'p', $2, 'r', now(), now(), $3, 'formula', $4)",
        [(uuid4(), agent, confidence, status) for status in statuses],
    )


async def counted(api: Api, path: str, fixes: int) -> dict[str, Any]:
    """The answer, once it has seen so many fixes of all agents of its page."""

    async def check() -> dict[str, Any] | None:
        answer: dict[str, Any] = (await api.get(path)).json()
        assert sum(item["fixes"] for item in answer["items"]) == fixes, answer
        return answer

    found: dict[str, Any] = await eventually(check, 20)
    return found


async def test_a_rate_stands_beside_what_was_predicted_for_the_same_fixes(world: World) -> None:
    await fared(world, "careful", ["succeeded"] * 80 + ["failed"] * 20 + ["scored"] * 7 + ["rejected"], 0.6)
    await fared(world, "few", ["succeeded"] * 3, 0.9)
    await fared(world, "new", ["scored"], 0.2)
    await world.start("scoring")
    api = await world.gateway()
    found = await counted(api, "/v1/stats/agents", 112)
    careful, few, new = found["items"]
    counts = {name: careful[name] for name in ("agent_id", "unsettled", "succeeded", "failed", "rejected")}
    assert counts == {"agent_id": "careful", "unsettled": 7, "succeeded": 80, "failed": 20, "rejected": 1}
    assert (careful["rate"], careful["expected_rate"]) == (0.8, pytest.approx(0.6))
    # Wilson's, of 80 in 100.
    assert careful["interval"] == [pytest.approx(0.7112, abs=1e-4), pytest.approx(0.8666, abs=1e-4)]
    assert careful["difference"] == pytest.approx(0.2)
    assert careful["difference_interval"] == [pytest.approx(b - 0.6) for b in careful["interval"]]
    assert (few["rate"], few["difference"], few["difference_interval"]) == (1.0, None, None), "too few to compare"
    assert (new["rate"], new["interval"], new["expected_rate"], new["difference"]) == (None, None, None, None)
    everybody = (await api.get("/v1/stats/overview")).json()
    assert (everybody["agents"], everybody["fixes"]["fixes"], everybody["fixes"]["succeeded"]) == (3, 112, 83)
    assert everybody["fixes"]["expected_rate"] == pytest.approx((100 * 0.6 + 3 * 0.9) / 103)
    assert everybody["as_of"] is None, "patterns has not counted yet"


async def test_an_interval_of_a_million_is_as_good_as_one_of_a_hundred(world: World) -> None:
    low, high = interval(800_000, 1_000_000) or (0, 0)
    assert (low, high) == (pytest.approx(0.7992, abs=1e-4), pytest.approx(0.8008, abs=1e-4))
    assert await world.owner.fetchval("select patterns.confirmed(800000, 1000000)") == pytest.approx(low)


async def test_agents_come_by_name_a_page_at_a_time(world: World) -> None:
    names = [f"{number}" + "\N{OWL}" * 199 for number in range(5)]  # as long as a name may be
    for number, name in enumerate(names):
        await fared(world, name, ["succeeded"] * number, 0.5)
    await world.start("scoring")
    api = await world.gateway()
    await counted(api, "/v1/stats/agents", 10)
    seen, path = [], "/v1/stats/agents?limit=2&min_settled=1"
    while path:
        answer = await api.get(path)
        seen += [item["agent_id"] for item in answer.json()["items"]]
        path = answer.links["next"]["url"] if "next" in answer.links else ""
    assert seen == names[1:]
    [one] = (await api.get("/v1/stats/agents", params={"agent_id": names[3]})).json()["items"]
    assert one["succeeded"] == 3
    assert (await api.get("/v1/stats/agents?cursor=nonsense")).json()["code"] == "invalid_request"


async def test_what_happens_is_counted_soon_and_an_unchanged_answer_is_not_sent_again(world: World) -> None:
    await world.start("scoring")
    api = await world.gateway()
    handed_in = (await api.post("/v1/fixes", fix(agent_id="claude"), headers={"Prefer": "wait=1"}, as_="agent")).json()
    before = await counted(api, "/v1/stats/agents", 1)
    assert before["items"][0]["unsettled"] == 1
    await api.post(f"/v1/fixes/{handed_in['id']}/outcome", {"kind": "held"}, as_="reporter")

    async def settled() -> bool:
        after = (await api.get("/v1/stats/agents")).json()
        return bool(after["items"][0]["succeeded"] == 1 and after["as_of"] > before["as_of"])

    await eventually(settled, 20)
    tag = (await api.get("/v1/stats/agents")).headers["etag"]
    await world.owner.execute("select pg_sleep($1)", 2 * LEAST_PAUSE_SECONDS)
    again = await api.get("/v1/stats/agents", headers={"If-None-Match": tag})
    assert again.status_code == 304, "nothing happened, so nothing was counted anew"


async def test_collaborations_are_counted_by_type_and_how_they_ended(world: World) -> None:
    await world.owner.execute(
        "insert into patterns.agent_collaborations (id, principal, agent_id, title, collaboration_type, status, quorum,"
        " margin, deadline, accepted_solution_id, created_at, closed_at) select gen_random_uuid(), 'p', 'a', 't', "
        "'review', status, 1, 1, now(), case when status = 'resolved' then gen_random_uuid() end, now(), "
        "now() + seconds * interval '1 second' from (values ('resolved', 60), ('resolved', 90), ('resolved', 600), "
        "('expired', 5)) v(status, seconds)"
    )
    await world.start("patterns")
    api = await world.gateway()
    await api.post("/v1/collaborations", CASE)

    async def both() -> list[dict[str, Any]] | None:
        items: list[dict[str, Any]] = (await api.get("/v1/stats/collaborations")).json()["items"]
        return items if len(items) == 2 else None

    incident, review = await eventually(both, 20)
    assert incident == {
        "collaboration_type": "incident", "open": 1, "resolved": 0, "expired": 0, "success_ratio": None,
        "interval": None, "median_seconds_to_resolution": None,
    }  # fmt: skip
    assert (review["resolved"], review["expired"], review["success_ratio"]) == (3, 1, 0.75)
    assert review["median_seconds_to_resolution"] == 90
    totals = (await api.get("/v1/stats/overview")).json()["collaborations"]
    assert (totals["open"], totals["resolved"], totals["expired"], totals["success_ratio"]) == (1, 3, 1, 0.75)


@asynccontextmanager
async def replica(world: World) -> AsyncIterator[tuple[Generations, Any]]:
    """What a scoring replica has of it: the generations it moves, and how often it refreshed."""
    settings, registry = world.settings("scoring_rw"), new_registry()
    database, generations = Database(settings, "scoring"), Generations(settings.redis_url)
    await database.open()
    view = Refreshed(database, generations, registry, "scoring", "agent_stats", [every(FIXES)])
    running = asyncio.create_task(view.run())
    try:
        yield generations, lambda: registry.get_sample_value("agent_stats_refresh_duration_seconds_count")
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await database.close()
        await generations.close()


async def test_replicas_that_hear_of_the_same_changes_count_once_between_them(world: World) -> None:
    async with replica(world) as (one, first), replica(world) as (two, second):

        async def refreshed(times: int) -> bool:
            return bool(first() + second() == times)

        # Both begin with what nobody may have seen; whoever comes second finds it done.
        await eventually(lambda: refreshed(1))
        for _ in range(20):
            await asyncio.gather(one.moved([every(FIXES)]), two.moved([every(FIXES)]))
        await fared(world, "claude", ["scored"], 0.5)
        await asyncio.gather(one.moved([every(FIXES)]), two.moved([every(FIXES)]))
        await eventually(lambda: refreshed(2))
        await world.owner.execute("select pg_sleep($1)", 2 * LEAST_PAUSE_SECONDS)
        assert await refreshed(2), "forty-two words of change are one refresh"
    assert await world.owner.fetchval("select fixes from scoring.agent_stats") == 1


async def test_only_its_service_may_make_a_view_anew(world: World) -> None:
    for role, allowed in (("scoring_rw", True), ("patterns_rw", False), ("gateway_ro", False)):
        connection = await asyncpg.connect(world.servers.database_url(world.database, role))
        try:
            await connection.execute("select scoring.refresh_agent_stats()")
            assert allowed, role
        except asyncpg.InsufficientPrivilegeError:
            assert not allowed, role
        finally:
            await connection.close()
