"""`If-None-Match` spares the body, `If-Match` the lost update."""

import asyncio

import httpx
import pytest

from services.gateway.encodings import CODINGS
from tests.diffs import fix
from tests.world import Api, World

LEARNING = {"agent_id": "claude", "title": "Close what you open", "body": "A connection is closed in a finally. " * 60}


@pytest.fixture
async def api(world: World) -> Api:
    await world.start("scoring", "patterns")
    return await world.gateway()


async def read(api: Api, path: str, **headers: str) -> httpx.Response:
    return await api.get(path, headers={name.replace("_", "-"): value for name, value in headers.items()})


async def test_a_tag_is_of_one_coding_and_spares_the_body_of_exactly_that(api: Api) -> None:
    path = f"/v1/learnings/{(await api.post('/v1/learnings', LEARNING)).json()['id']}"
    tags = {}
    for coding in ("identity", *CODINGS):
        answer = await read(api, path, accept_encoding=coding)
        assert answer.headers.get("content-encoding", "identity") == coding
        assert answer.json()["body"] == LEARNING["body"]
        assert {"Accept-Encoding", "Authorization"} <= set(answer.headers["vary"].replace(",", "").split())
        tags[coding] = answer.headers["etag"]
        again = await read(api, path, accept_encoding=coding, if_none_match=f'"other", W/{tags[coding]}')
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tags[coding])
        assert "content-length" not in again.headers or again.headers["content-length"] == "0"
    assert len(set(tags.values())) == 4
    assert (await read(api, path, accept_encoding="gzip", if_none_match=tags["br"])).status_code == 200
    assert (await read(api, path, if_none_match="*")).status_code == 304


async def test_a_changed_learning_has_another_tag_and_the_old_one_changes_nothing(api: Api) -> None:
    path = f"/v1/learnings/{(await api.post('/v1/learnings', LEARNING)).json()['id']}"
    seen = (await read(api, path, accept_encoding="zstd")).headers["etag"]
    changed = await api.call("PATCH", path, json={"title": "Another"}, headers={"If-Match": seen})
    assert changed.status_code == 200
    assert (await read(api, path, accept_encoding="gzip, br, zstd")).status_code == 200
    for method, body in (("PATCH", {"title": "A third"}), ("DELETE", None)):
        refused = await api.call(method, path, json=body, headers={"If-Match": seen})
        assert (refused.status_code, refused.json()["code"]) == (412, "precondition_failed")
    assert (await read(api, path)).json()["title"] == "Another"
    new = changed.headers["etag"]
    assert (await api.call("DELETE", path, headers={"If-Match": f'"other", {new}'})).status_code == 204


async def test_a_fix_is_corrected_only_as_it_was_seen(api: Api) -> None:
    path = f"/v1/fixes/{(await api.post('/v1/fixes', fix(), headers={'Prefer': 'wait=9'})).json()['id']}"
    seen = (await read(api, path)).headers["etag"]
    for category, status in (("security", 200), ("refactor", 412)):
        answer = await api.call("PATCH", path, json={"category": category}, headers={"If-Match": seen})
        assert answer.status_code == status
    assert (await read(api, path)).json()["category"] == "security"
    anyhow = await api.call("PATCH", path, json={"category": "refactor"}, headers={"If-Match": "*"})
    assert anyhow.status_code == 200


async def test_of_two_who_correct_what_they_saw_at_the_same_time_one_is_refused(api: Api) -> None:
    path = f"/v1/fixes/{(await api.post('/v1/fixes', fix(), headers={'Prefer': 'wait=9'})).json()['id']}"
    # Neither is what it is already: that would be no change, and both right.
    for asked in (("security", "refactor"), ("performance", "bug-fix"), ("security", "refactor")):
        seen = {"If-Match": (await read(api, path)).headers["etag"]}
        answers = [api.call("PATCH", path, json={"category": name}, headers=seen) for name in asked]
        statuses = [answer.status_code for answer in await asyncio.gather(*answers)]
        assert sorted(statuses) == [200, 412]
        assert (await read(api, path)).json()["category"] == asked[statuses.index(200)]


@pytest.mark.parametrize("path", ["/openapi.json", "/asyncapi.json", "/docs"])
async def test_the_descriptions_are_compressed(api: Api, path: str) -> None:
    answer = await read(api, path, accept_encoding="gzip")
    assert answer.headers["content-encoding"] == "gzip"
    assert int(answer.headers["content-length"]) < len(answer.content) / 4


async def test_compression_can_be_switched_off(api: Api) -> None:
    await api.post("/v1/learnings", LEARNING)
    assert (await read(api, "/v1/learnings", accept_encoding="br")).headers["content-encoding"] == "br"
    await api.call("PUT", "/v1/flags/compression", json={"on": False})
    assert "content-encoding" not in (await read(api, "/v1/learnings", accept_encoding="br")).headers
