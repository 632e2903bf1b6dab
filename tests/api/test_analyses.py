"""`POST /v1/patterns/analyze` is answered alike by its route and at the edge, which asks ahead of the limiter."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from nats.aio.msg import Msg

from shared.contracts.commands import ANALYZE
from tests.alike import AT_EDGE, BY_ROUTE, plainly
from tests.diffs import diff
from tests.world import Api, World, eventually

BODIES: dict[str, Any] = {
    "everything": {"diff": diff(), "title": "fix: no token", "repository": "acme/shop"},
    "the least": {"diff": diff()},
    "no object": [],
    "no diff": {},
    "not a diff": {"diff": "hello"},
    "unknown field": {"diff": diff(), "titel": "fix"},
    "too long a title": {"diff": diff(), "title": "x" * 10_000},
}


async def ask(api: Api, body: bytes, kind: str) -> httpx.Response:
    await api.get("/v1/fixes?limit=1", as_="claude")  # whose key is known from then on
    headers = {"Content-Type": kind, "Accept-Encoding": "identity"}
    return await api.call("POST", "/v1/patterns/analyze", as_="claude", content=body, headers=headers)


@pytest.fixture(scope="module")
async def api(standing: World) -> Api:
    api = await standing.gateway()
    api.keys["claude"] = await standing.key("claude", ["read"], [])
    return api


@pytest.mark.parametrize("name", BODIES)
async def test_both_answer_alike(api: Api, name: str) -> None:
    async with api.world.worker("patterns"):
        at_edge, by_route = [await ask(api, msgspec.json.encode(BODIES[name]), kind) for kind in (AT_EDGE, BY_ROUTE)]
    assert plainly(at_edge) == plainly(by_route)
    assert at_edge.status_code == (200 if name in ("everything", "the least") else 400), at_edge.text


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 2000, b"null"])
async def test_what_is_no_json_is_refused_alike(api: Api, body: bytes) -> None:
    at_edge, by_route = [await ask(api, body, kind) for kind in (AT_EDGE, BY_ROUTE)]
    assert (at_edge.status_code, plainly(at_edge)) == (400, plainly(by_route))


async def test_both_say_that_nobody_is_there_to_answer(api: Api) -> None:
    at_edge, by_route = [await ask(api, msgspec.json.encode(BODIES["the least"]), kind) for kind in (AT_EDGE, BY_ROUTE)]
    assert (at_edge.status_code, plainly(at_edge)) == (503, plainly(by_route))


async def test_nobody_waits_for_an_analysis_that_the_limiter_refuses(standing: World, tmp_path: Path) -> None:
    """The one that finds out was asked ahead; the next ones are asked only once they are let in."""
    heard: list[Msg] = []

    async def never(message: Msg) -> None:
        heard.append(message)

    policies = tmp_path / "policies.toml"
    policies.write_text('[[policies]]\nname = "tight"\nlimit = 20\nwindow_seconds = 86400\n')
    api = await standing.gateway(policies=policies)
    api.keys["claude"] = await standing.key("claude", ["read"], [])
    asked = await standing.nats.subscribe(ANALYZE, cb=never)
    await standing.nats.flush()
    for _ in range(20):
        await api.get("/v1/fixes?limit=1", as_="claude")
    body = msgspec.json.encode(BODIES["the least"])
    headers = {"Content-Type": AT_EDGE}
    for _ in range(3):
        async with asyncio.timeout(5):
            answer = await api.call("POST", "/v1/patterns/analyze", as_="claude", content=body, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (429, "rate_limited")

    async def one() -> bool:
        return len(heard) == 1

    await eventually(one)
    await asked.unsubscribe()
