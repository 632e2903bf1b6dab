"""Rate limits as a client meets them, on one gateway and on three."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from shared.keys import new_key
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


async def test_an_endpoint_costs_what_the_table_says_and_a_key_can_have_a_limit_of_its_own(
    world: World, table: Write
) -> None:
    special = await world.key("special")
    [prefix] = [row["prefix"] for row in await world.owner.fetch("select prefix from control.api_keys")]
    user = '{ name = "user", limit = 100, window_seconds = 360_000 }'
    rows = f'[{{ name = "special", limit = 700, window_seconds = 360_000, keys = ["{prefix}"] }}, {user}]'
    api = await world.gateway(policies=table(f'policies = {rows}\ncosts = {{ "GET /v1/models/{{version}}" = 30 }}'))
    api.keys["special"] = special

    async def left(path: str, as_: str = "owner") -> tuple[str, str]:
        headers = (await api.get(path, as_=as_)).headers
        return headers["x-ratelimit-limit"], headers["x-ratelimit-remaining"]

    assert await left("/v1/models") == ("100", "99")
    assert await left("/v1/models/confidence-1") == ("100", "69")
    assert await left("/v1//models/confidence-1/") == ("100", "39")
    assert await left("/v1/models/confidence-1", as_="special") == ("700", "670")
    refused = await api.get("/v1/models/confidence-1")
    assert refused.status_code == 404
    refused = await api.get("/v1/models/confidence-1")
    assert (refused.status_code, refused.headers["x-ratelimit-limit"]) == (429, "100")
    assert (await api.get("/v1/models")).status_code == 200


SLOW = 'policies = [{ name = "user", limit = 100, window_seconds = 360_000 }]'


async def test_a_path_that_is_not_there_costs_like_any_other_and_probes_cost_nothing(
    world: World, table: Write
) -> None:
    api = await world.gateway(policies=table(SLOW))
    assert (await api.get("/v1/nothing")).headers["x-ratelimit-remaining"] == "99"
    assert (await api.post("/v1/fixes", {"no": "fix"})).headers["x-ratelimit-remaining"] == "98"
    for path in ("/healthz", "/readyz", "/metrics", "/openapi.json"):
        assert "x-ratelimit-remaining" not in (await api.client.get(path)).headers
    assert (await api.get("/v1/models")).headers["x-ratelimit-remaining"] == "97"


async def test_all_keys_of_a_principal_share_one_bucket_and_principals_do_not(world: World, table: Write) -> None:
    api = await world.gateway(policies=table(SLOW))
    await api.get("/v1/models", as_="one")
    api.keys["the other key of one"] = await world.key("one")
    assert (await api.get("/v1/models", as_="the other key of one")).headers["x-ratelimit-remaining"] == "98"
    assert (await api.get("/v1/models", as_="two")).headers["x-ratelimit-remaining"] == "99"


async def test_decisions_are_counted_by_policy_and_result(world: World, table: Write) -> None:
    api = await world.gateway(policies=table('policies = [{ name = "few", limit = 2, routes = ["GET /v1/models"] }]'))
    await statuses(api, 3)
    text = (await api.client.get("/metrics")).text
    assert 'rate_limit_decisions_total{backend="redis",policy="few",result="allowed"} 2.0' in text
    assert 'rate_limit_decisions_total{backend="redis",policy="few",result="refused"} 1.0' in text


async def guess(api: Api, times: int, **headers: str) -> list[int]:
    wrong = {"Authorization": f"Bearer {new_key().text}", **headers}
    return [(await api.client.get("/v1/models", headers=wrong)).status_code for _ in range(times)]


async def test_failed_authentication_is_limited_by_address_across_gateways_and_good_keys_go_on(
    world: World, table: Write
) -> None:
    policies = table("failed_authentication = { limit = 4, window_seconds = 8 }")
    gateways = [await world.gateway(policies=policies) for _ in range(2)]
    assert (await gateways[0].get("/v1/models")).status_code == 200
    assert await guess(gateways[0], 2) + await guess(gateways[1], 3) == [401, 401, 401, 401, 429]
    refused = await gateways[1].client.get("/v1/models")
    at = time.monotonic()
    assert (refused.status_code, refused.json()["violated-policies"]) == (429, ["failed-authentication"])
    assert refused.headers["retry-after"] == "2"
    assert (await gateways[0].get("/v1/models")).status_code == 200
    gateways[1].keys["owner"] = gateways[0].keys["owner"]
    await asyncio.sleep(at + 2.05 - time.monotonic())
    assert (await gateways[1].get("/v1/models")).status_code == 200
    assert await guess(gateways[1], 1) == [401]


async def test_who_is_refused_by_address_is_not_looked_up(world: World, table: Write) -> None:
    api = await world.gateway(policies=table("failed_authentication = { limit = 1, window_seconds = 60 }"))
    assert await guess(api, 2) == [401, 429]
    fresh = await world.key("late")
    answer = await api.client.get("/v1/models", headers={"Authorization": f"Bearer {fresh}"})
    assert answer.status_code == 429


async def test_an_address_behind_a_proxy_is_believed_only_where_the_proxy_is_trusted(
    world: World, table: Write
) -> None:
    policies = table("failed_authentication = { limit = 1, window_seconds = 60 }")
    plain = await world.gateway(policies=policies)
    assert [await guess(plain, 1, **{"X-Forwarded-For": f"203.0.113.{n}"}) for n in range(2)] == [[401], [429]]
    behind = await world.gateway(policies=policies, trusted_proxies="127.0.0.0/8")
    assert [await guess(behind, 1, **{"X-Forwarded-For": f"203.0.113.{n}"}) for n in (1, 2, 1)] == [[401], [401], [429]]
