"""`POST /v1/fixes` is answered alike by its route and at the edge, which leaves to it what is out of the ordinary."""

import asyncio
from contextlib import AsyncExitStack
from functools import partial
from typing import Any
from uuid import UUID

import httpx
import msgspec
import pytest

from tests.alike import AT_EDGE, BY_ROUTE, plainly
from tests.bus import said
from tests.diffs import diff, fix
from tests.world import Api, World, eventually

BODIES: dict[str, Any] = {
    "nameless": fix(),
    "claimed": fix(diff=None, features={"files": 1}, paths=["a.py"]),
    "everything": fix(
        author="ada", fix_type="fix", domains=["auth"], signals={"retries": 1}, submitted_at="2024-05-01T10:00:00+02:00"
    ),
    "no object": [],
    "unknown field": fix(diffs="x"),
    "no diff": fix(diff="hello"),
    "diff and features": fix(features={"files": 1}),
    "unknown feature": fix(diff=None, features={"stars": 1}),
    "of tomorrow": fix(submitted_at="2999-01-01T00:00:00Z"),
    "foreign agent": fix(agent_id="copilot"),
}


@pytest.fixture(scope="module")
async def api(standing: World) -> Api:
    """With a key that is known by the time it is used."""
    api = await standing.gateway()
    api.keys["claude"] = await standing.key("claude", ["submit", "read"], ["claude*"])
    return api


async def ask(api: Api, body: bytes, kind: str, **headers: str) -> httpx.Response:
    await api.get("/v1/fixes?limit=1", as_="claude")
    return await api.call(
        "POST",
        "/v1/fixes",
        as_="claude",
        content=body,
        headers={"Content-Type": kind, "Accept-Encoding": "identity"} | headers,
    )


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("prefer", [None, "wait=0", "respond-async, wait=1"])
async def test_both_answer_alike(api: Api, name: str, prefer: str | None) -> None:
    headers = {} if prefer is None else {"Prefer": prefer}
    body = msgspec.json.encode(BODIES[name])
    at_edge, by_route = [await ask(api, body, kind, **headers) for kind in (AT_EDGE, BY_ROUTE)]
    assert plainly(at_edge) == plainly(by_route)
    assert at_edge.headers.get("location", "").count("/") == by_route.headers.get("location", "").count("/")


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'"\xed\xa0\x80"', b"[" * 2000, b"null"])
async def test_what_is_no_json_is_refused_alike(api: Api, body: bytes) -> None:
    at_edge, by_route = [await ask(api, body, kind) for kind in (AT_EDGE, BY_ROUTE)]
    assert (at_edge.status_code, plainly(at_edge)) == (400, plainly(by_route))


async def test_both_put_the_same_on_the_bus(api: Api) -> None:
    body, before = BODIES["everything"], len(await submitted(api))
    for number, kind in enumerate((AT_EDGE, BY_ROUTE)):
        assert (await ask(api, msgspec.json.encode(body | {"external_id": str(number)}), kind)).status_code == 202
    at_edge, by_route = (await submitted(api))[before:]
    assert {**at_edge, "id": "", "external_id": ""} == {**by_route, "id": "", "external_id": ""}


async def submitted(api: Api) -> list[dict[str, Any]]:
    return [msgspec.json.decode(message.data) for message in await said(api.world, "FIXES", "fixes.submitted.v1")]


async def test_both_know_a_repeat(api: Api) -> None:
    body, before = msgspec.json.encode(fix(external_id="abc")), len(await submitted(api))
    first = await ask(api, body, AT_EDGE)
    assert first.status_code == 202
    for kind in (AT_EDGE, BY_ROUTE):
        again = await ask(api, body, kind)
        assert (again.status_code, again.json()) == (200, first.json())
    assert len(await submitted(api)) == before + 1


@pytest.mark.parametrize("kind", [AT_EDGE, BY_ROUTE])
@pytest.mark.parametrize("early", [[], ["scoring"], ["patterns"]], ids=lambda services: "-".join(services) or "none")
async def test_a_repeat_waits_as_the_first_does(api: Api, kind: str, early: list[str]) -> None:
    body = msgspec.json.encode(fix(external_id=f"waited for {early} {kind}"))
    async with AsyncExitStack() as stack:
        for service in early:
            await stack.enter_async_context(api.world.worker(service))
        path = (await ask(api, body, kind)).headers["location"]
        if "scoring" in early:
            await api.until(path, "status", "scored")
        elif early:
            categorized = "select category from patterns.fix_patterns where fix_id = $1"
            await eventually(partial(api.world.owner.fetchval, categorized, UUID(path.rpartition("/")[2])))
        hasty = await ask(api, body, kind)
        assert (hasty.status_code, hasty.json()["status"]) == (200, "scored" if "scoring" in early else "accepted")
        in_vain = await ask(api, body, kind, Prefer="wait=1")
        assert (in_vain.status_code, in_vain.json()["id"]) == (200, hasty.json()["id"])
        waiting = asyncio.create_task(ask(api, body, kind, Prefer="wait=20"))
        await asyncio.sleep(0.1)
        for service in {"scoring", "patterns"} - {*early}:
            await stack.enter_async_context(api.world.worker(service))
        # Long before the time is over.
        answer = await asyncio.wait_for(waiting, 10)
    assert (answer.status_code, answer.json()["status"]) == (200, "scored"), answer.text
    assert answer.json()["category"] is not None


async def test_of_several_preferences_none_is_lost(api: Api) -> None:
    async with api.world.worker("scoring"), api.world.worker("patterns"):
        for order in (["respond-async", "wait=10"], ["wait=10", "respond-async"]):
            headers = [("Prefer", value) for value in order] + [("Content-Type", AT_EDGE)]
            await api.get("/v1/fixes?limit=1")
            headers.append(("Authorization", f"Bearer {api.keys['owner']}"))
            answer = await api.client.post("/v1/fixes", content=msgspec.json.encode(fix(diff=diff())), headers=headers)
            assert answer.status_code == 201


async def test_who_may_not_submit_is_refused_and_who_may_not_read_gets_nothing_from_the_cache(api: Api) -> None:
    api.keys["reader"] = await api.world.key("reader", ["read"])
    api.keys["writer"] = await api.world.key("writer", ["submit"])
    for _ in range(3):
        assert (await api.get("/v1/stats/overview", as_="reader")).status_code == 200
        assert (await api.get("/v1/stats/overview", as_="writer")).status_code == 403
        assert (await api.post("/v1/fixes", fix(), as_="reader")).status_code == 403
        assert (await api.post("/v1/fixes", fix(), as_="writer")).status_code == 202
