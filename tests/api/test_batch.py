"""Several reads in one request: each as it would have come alone, and paid for as if it had."""

from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from services.gateway import batch
from tests.diffs import fix
from tests.world import Api, World


@pytest.fixture(scope="module")
async def api(standing: World) -> Api:
    return await standing.gateway()


async def read(api: Api, *paths: str, **options: Any) -> Any:
    answer = await api.post("/v1/batch", {"reads": [{"path": path} for path in paths]}, **options)
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]


async def test_reads_are_answered_in_their_order_as_they_would_be_alone(api: Api) -> None:
    ids = [(await api.post("/v1/fixes", fix())).json()["id"] for _ in range(3)]
    paths = [*(f"/v1/fixes/{i}" for i in ids), "/v1/models?kind=confidence", f"/v1/fixes/{uuid4()}", "/v1/nowhere",
             "/v1/fixes?limit=1000", "/v1/learnings/handbook"]  # fmt: skip
    items = await read(api, *paths)
    for path, item in zip(paths, items, strict=True):
        alone = await api.get(path)
        assert item["status"] == alone.status_code
        if alone.headers["content-type"] == "application/json":
            assert item["body"] == alone.json()
            assert item["headers"].get("etag") == alone.headers.get("etag")
    assert [item["status"] for item in items] == [200, 200, 200, 200, 404, 404, 400, 200]
    assert items[4]["body"]["code"] == "not_found"
    assert isinstance(items[7]["body"], str)


async def test_what_the_caller_has_is_not_sent_again(api: Api) -> None:
    [first] = await read(api, "/v1/models")
    again = await api.post("/v1/batch", {"reads": [{"path": "/v1/models", "if_none_match": first["headers"]["etag"]}]})
    [item] = again.json()["items"]
    assert (item["status"], item["body"]) == (304, None)


async def test_every_read_obeys_its_scope(api: Api) -> None:
    api.keys["reader"] = await api.world.key("reader", scopes=["read"])
    allowed, refused = await read(api, "/v1/fixes", "/v1/operations", as_="reader")
    assert (allowed["status"], refused["status"], refused["body"]["code"]) == (200, 403, "forbidden")


@pytest.mark.parametrize(
    "path", ["/v1/events", "/v1/events?type=fixes.scored", "/metrics", "http://elsewhere/v1/fixes"]
)
async def test_what_never_ends_and_what_is_elsewhere_is_refused(api: Api, path: str) -> None:
    answer = await api.post("/v1/batch", {"reads": [{"path": "/v1/fixes"}, {"path": path}]})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")


async def test_a_batch_reads_only_and_holds_no_batch_and_at_most_fifty(api: Api) -> None:
    [item] = await read(api, "/v1/batch")
    assert item["status"] == 405
    assert len(await read(api, *["/v1/models"] * 50)) == 50
    for reads in ([], [{"path": "/v1/models"}] * 51, [{"path": "/v1/models", "method": "POST"}]):
        assert (await api.post("/v1/batch", {"reads": reads})).status_code == 400


async def test_it_costs_what_its_reads_cost_together(standing: World, tmp_path: Path) -> None:
    policies = tmp_path / "policies.toml"
    policies.write_text('[[policies]]\nname = "tight"\nlimit = 20\nwindow_seconds = 86400\n')
    api = await standing.gateway(policies=str(policies))
    answer = await api.post("/v1/batch", {"reads": [{"path": "/v1/models"}] * 7})
    assert (answer.status_code, answer.headers["x-ratelimit-remaining"]) == (200, "13")
    assert (await api.get("/v1/models")).headers["x-ratelimit-remaining"] == "12"
    refused = await api.post("/v1/batch", {"reads": [{"path": "/v1/models"}] * 20})
    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
    assert int(refused.headers["retry-after"]) > 0


async def test_answers_take_no_more_memory_than_they_may(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "MOST_ANSWER_BYTES", 40)
    items = await read(api, *["/v1/models"] * 3)
    # They are read at once: whichever is answered first has the room.
    assert sorted(item["status"] for item in items) == [200, 413, 413]
