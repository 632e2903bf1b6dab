"""Stores that go away and come back, under services that are not restarted."""

import asyncio
import time
from typing import Any
from uuid import uuid4

import asyncpg
import nats
import pytest

from services.gateway import runtime
from shared.contracts.commands import LEARNING_CREATE
from shared.ids import fix_id
from tests.bus import said, unfinished
from tests.diffs import fix
from tests.outages import Frail
from tests.world import Api, World, eventually, http_client, serving

SCORING = "scoring_fixes_submitted_v1"
PROMPT_SECONDS = 5.0


async def ready(api: Api) -> tuple[int, dict[str, Any]]:
    answer = await api.client.get("/readyz")
    return answer.status_code, answer.json()


async def says(api: Api, status: int, word: str, **checks: str) -> None:
    async def check() -> bool:
        code, body = await ready(api)
        assert (code, body["status"]) == (status, word), body
        assert body["checks"].items() >= checks.items(), body
        return True

    await eventually(check)


async def hand_in(api: Api, count: int, **fields: Any) -> list[str]:
    """Fixes one after the other; each is accepted, and soon."""
    ids = []
    for n in range(count):
        started = time.monotonic()
        named = {"external_id": f"{fields['external_id']}-{n}"} if "external_id" in fields else {}
        answer = await api.post("/v1/fixes", fix(**fields | named))
        assert answer.status_code == 202, answer.text
        assert time.monotonic() - started < PROMPT_SECONDS
        ids.append(answer.json()["id"])
    return ids


async def all_scored(world: World, api: Api, ids: list[str]) -> None:
    for i in ids:
        await api.until(f"/v1/fixes/{i}", "status", "scored", seconds=20)
    owner = await asyncpg.connect(world.servers.database_url(world.database))
    stored = {str(row["id"]): row["changes"] for row in await owner.fetch(COUNTED)}
    await owner.close()
    assert set(stored) == set(ids)
    assert set(stored.values()) == {len(ids)}
    events = await said(world, "FIXES", "fixes.scored.v1")
    assert len(events) == len(ids)


COUNTED = """
select id, (select sum(changes) from scoring.repository_history) as changes from scoring.agent_auto_fixes
"""


async def deliveries(world: World) -> tuple[int, int]:
    """(messages that scoring was given, those that came to it more than once)."""
    info = await world.nats.jetstream().consumer_info("FIXES", SCORING)
    assert info.delivered is not None
    return info.delivered.stream_seq, info.num_redelivered or 0


@pytest.mark.parametrize("outage", ["stopped", "frozen"])
async def test_without_postgres_fixes_are_accepted_and_nothing_is_lost_or_doubled(
    frail_world: World, outages: Frail, outage: str
) -> None:
    await frail_world.start("scoring")
    api = await frail_world.gateway()
    ids = await hand_in(api, 3)
    await all_scored(frail_world, api, ids)
    if outage == "stopped":
        await outages.stop("postgres")
    else:
        outages.freeze("postgres")
    await asyncio.sleep(1.1)  # the key is no longer fresh
    waiting = await hand_in(api, 3) + await hand_in(api, 3, external_id=outage)
    await says(api, 200, "degraded", postgres="away", nats="ok", redis="ok")
    answer = await api.get(f"/v1/fixes/{waiting[0]}")
    assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")
    assert int(answer.headers["retry-after"]) > 0
    await asyncio.sleep(2)
    assert (await deliveries(frail_world))[1] == 0
    assert (await unfinished(frail_world, SCORING))[1] > 0
    if outage == "stopped":
        await outages.start("postgres")
    else:
        outages.thaw("postgres")
    await all_scored(frail_world, api, ids + waiting)
    assert (await deliveries(frail_world))[1] == 0
    assert await said(frail_world, "DEAD") == []
    await says(api, 200, "ok")


async def test_a_key_that_nobody_has_seen_cannot_be_judged_without_postgres(frail_world: World, outages: Frail) -> None:
    api = await frail_world.gateway()
    await api.get("/v1/fixes")
    unseen = await frail_world.key("late")
    await outages.stop("postgres")
    answer = await api.client.post("/v1/fixes", json=fix(), headers={"Authorization": f"Bearer {unseen}"})
    assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")


@pytest.mark.parametrize("outage", ["stopped", "frozen"])
async def test_without_redis_fixes_are_accepted_and_the_unknown_is_called_not_yet_visible(
    frail_world: World, outages: Frail, outage: str
) -> None:
    api = await frail_world.gateway()
    await hand_in(api, 1)
    if outage == "stopped":
        await outages.stop("valkey")
    else:
        outages.freeze("valkey")
    (unseen,) = await hand_in(api, 1)
    started = time.monotonic()
    answer = await api.get(f"/v1/fixes/{unseen}")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_yet_visible")
    assert answer.headers["retry-after"] == "1"
    assert time.monotonic() - started < PROMPT_SECONDS
    await says(api, 200, "degraded", redis="away", postgres="ok")
    await frail_world.start("scoring")
    await api.until(f"/v1/fixes/{unseen}", "status", "scored")
    if outage == "stopped":
        await outages.start("valkey")
    else:
        outages.thaw("valkey")
    await says(api, 200, "ok")
    assert (await api.get(f"/v1/fixes/{uuid4()}")).json()["code"] == "not_found"


@pytest.mark.parametrize("outage", ["stopped", "frozen"])
async def test_without_nats_nothing_is_accepted_and_it_goes_on_by_itself(
    frail_world: World, outages: Frail, outage: str
) -> None:
    await frail_world.start("scoring")
    api = await frail_world.gateway()
    ids = await hand_in(api, 2)
    await all_scored(frail_world, api, ids)
    if outage == "stopped":
        await outages.stop("nats")
        await says(api, 503, "unavailable", nats="away", postgres="ok")
    else:
        outages.freeze("nats")
        await says(api, 503, "unavailable", nats="away", postgres="ok")
    answer = await api.post("/v1/fixes", fix(external_id="in vain"))
    assert (answer.status_code, answer.json().get("code")) == (503, "bus_unavailable"), answer.text
    # What was sent may have come in, whatever NATS does not say.
    assert ("nothing was accepted" in answer.json()["detail"]) == (outage == "stopped")
    assert int(answer.headers["retry-after"]) > 0
    assert (await api.get(f"/v1/fixes/{ids[0]}")).status_code == 200
    if outage == "stopped":
        await outages.start("nats")
    else:
        outages.thaw("nats")
    await says(api, 200, "ok")
    again = await api.post("/v1/fixes", fix(external_id="in vain"), headers={"Prefer": "wait=5"})
    assert again.json()["id"] == str(fix_id("acme/shop", "in vain"))
    await all_scored(frail_world, api, [*ids, again.json()["id"]])


async def test_a_worker_that_says_nothing_may_still_do_what_it_was_told(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "REQUEST_SECONDS", 0.2)
    api = await world.gateway()
    connection = await nats.connect(world.servers.nats_url)
    await connection.subscribe(LEARNING_CREATE)
    await connection.flush()
    answer = await api.post("/v1/learnings", {"agent_id": "claude", "title": "Look first", "body": "Then leap."})
    assert (answer.status_code, answer.json()["code"]) == (503, "patterns_unavailable")
    assert "repeat a change with its Idempotency-Key, it may be done yet" in answer.json()["detail"]
    await connection.close()


@pytest.mark.parametrize(("server", "name"), [("nats", "NATS"), ("postgres", "Postgres")])
async def test_a_worker_waits_for_what_is_away_at_start_and_says_for_what(
    frail_world: World, outages: Frail, server: str, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    from services.scoring.app import create_app

    await outages.stop(server)
    settings = frail_world.settings("scoring_rw")
    probe = f"http://127.0.0.1:{settings.port}"

    async def waits() -> None:
        async with http_client() as client:

            async def check() -> bool:
                answer = await client.get(f"{probe}/readyz")
                assert (answer.status_code, answer.json()) == (503, {"status": f"waiting for {name}"})
                assert any(f"waiting for {name}" in r.getMessage() for r in caplog.records), caplog.text
                return (await client.get(f"{probe}/healthz")).status_code == 200

            await eventually(check)
        await outages.start(server)

    waiting = asyncio.create_task(waits())
    async with serving(create_app(settings), settings.port):
        await waiting
        api = await frail_world.gateway()
        await all_scored(frail_world, api, await hand_in(api, 1))


async def test_a_gateway_opens_without_any_store_and_says_what_is_away(frail_world: World, outages: Frail) -> None:
    from services.gateway.app import create_app
    from services.gateway.settings import GatewaySettings

    for server in ("nats", "postgres", "valkey"):
        await outages.stop(server)
    settings = frail_world.settings("gateway_ro", GatewaySettings)

    async def away() -> None:
        async with http_client(base_url=f"http://127.0.0.1:{settings.port}") as client:

            async def check() -> bool:
                answer = await client.get("/readyz")
                assert answer.status_code == 503
                assert answer.json()["checks"] == {"nats": "away", "postgres": "away", "redis": "away"}
                return (await client.get("/healthz")).status_code == 200

            await eventually(check)
        for server in ("nats", "postgres", "valkey"):
            await outages.start(server)

    waiting = asyncio.create_task(away())
    async with serving(create_app(settings), settings.port):
        await waiting
