"""What a schema forbids is refused, also where a framework would make something of it."""

from typing import Any

import pytest

from shared.features.change import CHANGE_FEATURES
from tests.world import Api, World

NOTHING = {"agent_id": "claude", "repository": "acme/shop", "features": dict.fromkeys(CHANGE_FEATURES, 0.0)}


@pytest.fixture(scope="module")
async def api(standing: World) -> Api:
    return await standing.gateway()


@pytest.mark.parametrize(
    ("method", "path", "body", "field"),
    [
        ("PUT", "/v1/flags/compression", {"on": 0}, "on"),
        ("PUT", "/v1/flags/compression", {"on": "false"}, "on"),
        ("PUT", "/v1/thresholds", {"auto_merge": "0.9", "block": 0.4}, "auto_merge"),
        ("POST", "/v1/learnings", {"agent_id": "a", "title": "t", "body": "b", "pattern_id": "null"}, "pattern_id"),
        ("POST", "/v1/fixes", NOTHING | {"submitted_at": 0}, "submitted_at"),
        ("POST", "/v1/fixes", NOTHING | {"paths": ["a\0b"]}, "paths[0]"),
    ],
)
async def test_a_value_is_not_made_into_one_of_another_type(
    api: Api, method: str, path: str, body: dict[str, Any], field: str
) -> None:
    answer = await api.call(method, path, json=body)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, field), answer.text


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("/v1/models?kind=null", 400),
        ("/v1/learnings?pattern_id=null", 400),
        ("/v1/dead-letters?cursor=null", 400),
        ("/v1/learnings?fields=", 400),
        ("/v1/learnings?q=null", 200),
        ("/v1/thresholds?repository=null", 200),
    ],
)
async def test_null_is_a_word_and_no_value(api: Api, query: str, status: int) -> None:
    assert (await api.get(query)).status_code == status


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ({"Content-Type": "application/json; charset=utf-8"}, 200),
        ({"Content-Type": "Application/JSON"}, 200),
        ({}, 200),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content-Type": "text/plain"}, 415),
    ],
)
async def test_json_is_called_json(api: Api, content_type: dict[str, str], status: int) -> None:
    answer = await api.call("PUT", "/v1/flags/compression", content=b'{"on": true}', headers=content_type)
    assert answer.status_code == status, answer.text


async def test_text_that_is_not_utf8_is_refused(api: Api) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await api.post("/v1/models/retrain", content=b'{"reason": "\xff"}', headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/v1/fixes", "GET, HEAD, POST, OPTIONS"),
        ("/v1/fixes/bulk", "POST, OPTIONS"),
        ("/v1/learnings/01a20aec-91e9-7663-af7b-314541511d2e", "DELETE, GET, HEAD, PATCH, OPTIONS"),
        ("/healthz", "GET, HEAD, OPTIONS"),
        ("/v1/events", "GET, OPTIONS"),
    ],
)
async def test_options_tells_every_method_of_a_path(api: Api, path: str, methods: str) -> None:
    answer = await api.call("OPTIONS", path)
    assert (answer.status_code, answer.headers["allow"]) == (204, methods)


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/docs", "/v1/fixes", "/v1/stats/overview", "/v1/nowhere"])
async def test_head_is_get_without_its_body(api: Api, path: str) -> None:
    of_the_moment = {"date", "x-ratelimit-remaining", "x-ratelimit-reset", "ratelimit", "content-length"}
    for _ in range(2):  # also of what the cache knows by then
        whole, head = await api.get(path), await api.call("HEAD", path)
        assert (head.status_code, head.content) == (whole.status_code, b"")
        assert whole.content
        named = {name: value for name, value in whole.headers.items() if name not in of_the_moment}
        assert {name: value for name, value in head.headers.items() if name not in of_the_moment} == named


async def test_head_asks_for_the_headers_of_no_stream_and_of_nothing_that_changes(api: Api) -> None:
    for path in ("/v1/events", "/v1/fixes/bulk", "/v1/outcomes"):
        assert (await api.call("HEAD", path)).status_code == 405
