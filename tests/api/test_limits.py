"""Rate limits as a client meets them, on one gateway and on three."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.world import Api, World

Write = Callable[[str], str]


@pytest.fixture
def table(tmp_path: Path) -> Write:
    def write(text: str) -> str:
        path = tmp_path / "limits.toml"
        path.write_text(text)
        return str(path)

    return write


async def statuses(api: Api, count: int, path: str = "/v1/models", **options: str) -> list[int]:
    return [(await api.get(path, **options)).status_code for _ in range(count)]


async def test_the_defaults_are_a_hundred_a_minute_for_a_user_and_a_thousand_for_all(world: World) -> None:
    api = await world.gateway(policies="")
    answer = await api.get("/v1/models")
    assert answer.headers["ratelimit-policy"] == '"user";q=100;w=60, "global";q=1000;w=60'
    assert answer.headers["ratelimit"] == '"user";r=99;t=1, "global";r=999;t=1'
    told = {name: answer.headers[f"x-ratelimit-{name}"] for name in ("limit", "remaining", "reset")}
    assert told == {"limit": "100", "remaining": "99", "reset": "1"}
    assert "retry-after" not in answer.headers


async def test_a_429_names_the_policy_and_the_same_request_succeeds_when_it_says(world: World, table: Write) -> None:
    api = await world.gateway(
        policies=table('policies = [{ name = "slow", limit = 2, window_seconds = 4, routes = ["GET /v1/models"] }]')
    )
    assert await statuses(api, 2) == [200, 200]
    refused = await api.get("/v1/models")
    at = time.monotonic()
    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
    assert refused.json()["violated-policies"] == ["slow"]
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.headers["x-ratelimit-remaining"] == "0"
    assert refused.headers["retry-after"] == "2"
    await asyncio.sleep(at + 1.5 - time.monotonic())
    assert (await api.get("/v1/models")).status_code == 429
    await asyncio.sleep(at + 2.0 - time.monotonic())
    assert (await api.get("/v1/models")).status_code == 200


async def test_three_gateways_never_let_in_more_than_burst_and_refill(world: World, table: Write) -> None:
    policies = table('global = { limit = 60 }\npolicies = [{ name = "user", limit = 40, window_seconds = 20 }]')
    gateways = [await world.gateway(policies=policies) for _ in range(3)]
    keys = {name: await world.key(name) for name in ("one", "two")}
    for api in gateways:
        api.keys |= keys
    begun = time.monotonic()

    async def storm(api: Api, who: str) -> list[int]:
        return await statuses(api, 60, as_=who)

    found = {who: await asyncio.gather(*(storm(api, who) for api in gateways)) for who in ("one", "two")}
    seconds = time.monotonic() - begun
    let_in = {who: sum(answers.count(200) for answers in all_) for who, all_ in found.items()}
    assert 40 <= let_in["one"] <= 40 + 2 * seconds
    assert 60 <= sum(let_in.values()) <= 60 + seconds
