"""Who may call what, and what the probes say."""

import re
from uuid import uuid4

import pytest

from services.gateway.app import ROUTES
from services.gateway.route_names import names_of
from shared.keys import SCOPES
from tests.contracts.scopes import NEEDS
from tests.world import Api, World

ZERO = "00000000-0000-0000-0000-000000000000"


@pytest.fixture(scope="module")
async def api(standing: World) -> Api:
    return await standing.gateway()


@pytest.mark.parametrize(
    "header",
    [None, "Basic abc", "Bearer", "Bearer pk_short", "Bearer " + "pk_" + "0" * 56, "bearer x"],
)
async def test_a_bad_key_is_401(api: Api, header: str | None) -> None:
    headers = {"Authorization": header} if header else {}
    answer = await api.client.get("/v1/fixes", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("scheme", ["bearer", "BEARER"])
async def test_the_scheme_of_a_key_is_read_in_any_case(api: Api, scheme: str) -> None:
    await api.get("/v1/fixes")
    for _ in range(2):
        answer = await api.get("/v1/fixes", headers={"Authorization": f"{scheme} {api.keys['owner']}"})
        assert answer.status_code == 200


SAMPLES = {"uuid": str(uuid4()), "int": "1", "str": "confidence-1"}


def paths() -> dict[str, str]:
    """A path for each operation, by the operation's name."""
    templates = [path for handler in ROUTES for path in handler.paths for _ in handler.http_methods]
    made = [re.sub(r"{\w+:(\w+)}", lambda found: SAMPLES[found[1]], path) for path in templates]
    return dict(zip(names_of(ROUTES), made, strict=True))


async def test_each_scope_opens_its_own_operations_and_no_other(api: Api) -> None:
    for scope in SCOPES:
        api.keys[scope] = await api.world.key(scope, scopes=[scope])
    for needed, names in NEEDS.items():
        for name in names:
            method, path = name.split()[0], paths()[name]
            assert (await api.client.request(method, path)).status_code == 401, name
            for scope in SCOPES:
                assert (await status(api, method, path, scope) != 403) == (scope == needed), (name, scope)


async def status(api: Api, method: str, path: str, as_: str) -> int:
    """Of an answer that may never end."""
    headers = {"Authorization": f"Bearer {api.keys[as_]}"}
    async with api.client.stream(method, path, headers=headers) as answer:
        return answer.status_code


async def test_probes_need_no_key(api: Api) -> None:
    for path in ("/healthz", "/readyz", "/metrics", "/openapi.json", "/docs"):
        assert (await api.client.get(path)).status_code == 200, path
    ready = (await api.client.get("/readyz")).json()
    assert ready == {"status": "ok", "checks": {"nats": "ok", "postgres": "ok", "redis": "ok"}, "rate_limits": "redis"}


async def test_who_opens_the_address_alone_is_led_to_the_page_about_the_api(api: Api) -> None:
    led = await api.client.get("/")
    assert (led.status_code, led.headers["location"]) == (307, "/docs")


async def test_requests_are_counted_by_route_template(standing: World) -> None:
    api = await standing.gateway()
    await api.get(f"/v1/fixes/{ZERO}")
    await api.get("/v1/nowhere")
    text = (await api.client.get("/metrics")).text
    assert 'http_requests_total{method="GET",route="/v1/fixes/{fix_id}",status="404"} 1.0' in text
    assert 'route="unmatched"' in text
    assert ZERO not in text
    for name in ("http_request_duration_seconds", "db_pool_connections", "event_loop_lag_seconds", "process_cpu"):
        assert name in text


async def test_common_headers_are_on_every_answer(api: Api) -> None:
    for answer in (await api.get("/v1/fixes"), await api.client.get("/v1/fixes"), await api.get("/v1/nothing")):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["vary"] == "Authorization, Accept-Encoding"


async def test_without_a_worker_a_score_is_503(api: Api) -> None:
    from tests.diffs import diff

    answer = await api.post("/v1/confidence", {"agent_id": "a", "repository": "r", "diff": diff()})
    assert (answer.status_code, answer.json()["code"]) == (503, "scoring_unavailable")
    assert int(answer.headers["retry-after"]) > 0
