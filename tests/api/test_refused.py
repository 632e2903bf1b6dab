"""Fixes, outcomes and thresholds that are not taken, and what is not found."""

import json
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import msgspec
import pytest

from services.gateway.page_queries import Keyset
from services.gateway.paging import encode_cursor
from services.gateway.submission import MAX_BODY_BYTES
from tests.diffs import diff, fix
from tests.world import Api, World


@pytest.fixture(scope="module")
async def api(standing: World) -> Api:
    return await standing.gateway()


REFUSED = {
    "missing field": ({"repository": "r", "diff": diff()}, "agent_id"),
    "unknown field": (fix(diffs="x"), "diffs"),
    "unknown field in signals": (fix(signals={"test_passed": True}), "signals.test_passed"),
    "wrong type": (fix(agent_id=7), "agent_id"),
    "no diff": (fix(diff="hello"), "diff"),
    "empty diff": (fix(diff=""), "diff"),
    "neither diff nor features": (fix(diff=None), "diff"),
    "diff and features": (fix(features={"la": 1.0}), "diff"),
    "NUL in the diff": (fix(diff=diff(new="a\0b")), "diff"),
    "lone surrogate": (None, "body"),
    "diff over a mebibyte": (fix(diff=diff(new="x" * (1 << 20))), "diff"),
    "truncated hunk": (fix(diff=diff().rsplit("\n", 2)[0] + "\n"), "diff"),
    "from the future": (fix(submitted_at=(datetime.now(UTC) + timedelta(days=1)).isoformat()), "submitted_at"),
    "naive time": (fix(submitted_at="2026-01-01T00:00:00"), "submitted_at"),
    "unknown feature": (fix(diff=None, features={"nonsense": 1.0}), "features"),
    "feature that is no number": (fix(diff=None, features={"files": 1, "la": "7"}), "features.la"),
    "empty agent": (fix(agent_id=""), "agent_id"),
    "learning that is no id": (fix(learning_ids=["x"]), "learning_ids[0]"),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_a_body_that_does_not_fit_names_the_field(api: Api, case: str) -> None:
    body, field = REFUSED[case]
    if body is None:
        content = json.dumps(fix()).replace("no token", "\\udc80").encode()
        answer = await api.call("POST", "/v1/fixes", content=content, headers={"content-type": "application/json"})
    else:
        answer = await api.post("/v1/fixes", body)
    assert answer.status_code == 400, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert [e["field"] for e in problem["errors"]] == [field]
    assert problem["code"] in ("invalid_request", "invalid_diff")
    assert problem["detail"]


@pytest.mark.parametrize(
    ("item", "field"),
    [
        ({"agent_id": ""}, "agent_id"),
        ({"agent_id": "copilot"}, "agent_id"),
        ({"diff": "hello"}, "diff"),
        ({"diff": None}, "diff"),
        ({"paths": ["a.py"]}, "paths"),
        ({"diff": None, "features": {"la": 1}}, "features"),
        ({"diff": None, "features": {"files": 1, "la": None}}, "features.la"),
    ],
)
async def test_a_question_among_many_that_does_not_fit_is_named_by_its_place(
    api: Api, item: dict[str, object], field: str
) -> None:
    api.keys["narrow"] = await api.world.key("narrow", ["read"], ["claude*"])
    fits = {"agent_id": "claude", "repository": "acme/shop", "diff": diff()}
    answer = await api.post("/v1/confidence/batch", {"items": [fits, fits, fits, fits | item]}, as_="narrow")
    assert answer.status_code in (400, 403), answer.text
    assert [e["field"] for e in answer.json()["errors"]] == [f"items[3].{field}"]


@pytest.mark.parametrize("rest", [b"", b"]", b'"title": "\xff"}', b'"features": null}', b'"x": ' + b"[" * 100_000])
async def test_a_body_that_is_wrong_twice_is_refused_for_the_first(api: Api, rest: bytes) -> None:
    content = b'{"agent_id": "a", "repository": "r", "features": {"la": "7"}, ' + rest
    answer = await api.call("POST", "/v1/fixes", content=content, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "features"), answer.text


@pytest.mark.parametrize("content", [b"{", b"", b"[]", b"\xff\xfe", b'"x"', b"null"])
async def test_what_is_no_json_object_is_refused(api: Api, content: bytes) -> None:
    answer = await api.call("POST", "/v1/fixes", content=content, headers={"content-type": "application/json"})
    assert answer.status_code == 400, answer.text
    assert answer.json()["errors"]


@pytest.mark.parametrize("path", ["/v1/fixes", "/v1/patterns/analyze", "/v1/confidence", "/v1/learnings"])
async def test_a_body_that_is_not_there_is_named(api: Api, path: str) -> None:
    answer = await api.call("POST", path, headers={"content-type": "application/json"})
    assert answer.json()["errors"] == [{"field": "body", "message": "is empty: send a JSON object"}], answer.text


@pytest.mark.parametrize(("name", "method"), [("Idempotency-Key", "POST"), ("If-Match", "PATCH")])
async def test_a_header_is_named_as_it_is_sent(api: Api, name: str, method: str) -> None:
    path = "/v1/learnings" if method == "POST" else f"/v1/learnings/{uuid4()}"
    lesson = {"agent_id": "claude", "title": "t", "body": "b"} if method == "POST" else {"title": "t"}
    answer = await api.call(method, path, json=lesson, headers={name: "x" * 1001})
    assert (answer.status_code, [e["field"] for e in answer.json()["errors"]]) == (400, [name]), answer.text


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "large"}])
@pytest.mark.parametrize("path", ["/v1/fixes", "/v1/confidence", "/v1/learnings"])
async def test_a_body_over_the_limit_is_413_and_told_the_limit(api: Api, path: str, headers: dict[str, str]) -> None:
    answer = await api.post(path, fix(title="x" * (5 << 20)), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert f"at most {MAX_BODY_BYTES} bytes" in answer.json()["detail"]


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=201", "cursor=zzz", "fields=nothing", "external_id=x", "status=odd"]
)
async def test_a_query_that_does_not_fit_is_refused(api: Api, query: str) -> None:
    answer = await api.get(f"/v1/fixes?{query}")
    assert answer.status_code == 400, answer.text
    assert answer.json()["errors"][0]["field"] == query.split("=")[0]


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/v1/fixes?agnet_id=claude", "agnet_id"),
        ("/v1/fixes?agnet_id", "agnet_id"),
        ("/v1//fixes/?agnet_id=claude", "agnet_id"),
        ("/v1/fixes?limit=1&limit=2", "limit"),
        (f"/v1/fixes/{UUID(int=0)}?fields=id", "fields"),
        ("/v1/learnings/handbook?limit=3", "limit"),
        ("/v1/stats/overview?since=2026", "since"),
        ("/v1/events?kind=fixes.scored", "kind"),
        ("/v1/events?type=fixes.scored&type=fixes.categorized", "type"),
    ],
)
async def test_a_parameter_that_a_read_does_not_take_is_refused_each_time(api: Api, path: str, field: str) -> None:
    for _ in range(2):  # also of what the cache could have kept
        answer = await api.get(path)
        assert (answer.status_code, [e["field"] for e in answer.json()["errors"]]) == (400, [field]), answer.text


@pytest.mark.parametrize("path", ["/v1/fixes", "/v1/confidence", "/v1/patterns/analyze", "/v1/fixes/bulk"])
async def test_a_parameter_that_a_post_does_not_take_is_refused(api: Api, path: str) -> None:
    answer = await api.post(f"{path}?explian=true", fix())
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "explian"), answer.text


@pytest.mark.parametrize("query", ["repo=acme/shop", "repository=", "repository", "repository=a&repository=b"])
async def test_thresholds_of_everybody_are_set_by_no_slip(api: Api, query: str) -> None:
    before = (await api.get("/v1/thresholds")).json()
    answer = await api.call("PUT", f"/v1/thresholds?{query}", json={"auto_merge": 0.9, "block": 0.1})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, query.split("=")[0]), answer.text
    assert (await api.get("/v1/thresholds")).json() == before


LESSON = {"agent_id": "claude", "title": "t", "body": "b"}
CASE = {"agent_id": "claude", "title": "t", "collaboration_type": "review"}


@pytest.mark.parametrize("white", ["   ", "\n\t", "\u2003", " " * 20_000 + "\0"])
@pytest.mark.parametrize(
    ("method", "path", "body", "field"),
    [
        ("POST", "/v1/learnings", LESSON, "title"),
        ("POST", "/v1/learnings", LESSON, "body"),
        ("PATCH", f"/v1/learnings/{UUID(int=0)}", {}, "body"),
        ("POST", "/v1/collaborations", CASE, "title"),
        ("POST", f"/v1/collaborations/{UUID(int=0)}/solutions", LESSON, "body"),
    ],
)
async def test_a_text_of_white_space_alone_is_refused(
    api: Api, white: str, method: str, path: str, body: dict[str, str], field: str
) -> None:
    answer = await api.call(method, path, json=body | {field: white})
    assert (answer.status_code, [e["field"] for e in answer.json()["errors"]]) == (400, [field]), answer.text


async def test_an_unknown_fix_is_404(api: Api) -> None:
    answer = await api.get(f"/v1/fixes/{uuid4()}")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


class Foreign(msgspec.Struct):
    """What a keyset looks like, in whose time nobody ever handed one out."""

    at: str
    id: UUID = UUID(int=0)


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-01-01T00:00:00"])
async def test_a_cursor_that_nobody_handed_out_is_refused(api: Api, at: str) -> None:
    answer = await api.get(f"/v1/fixes?cursor={encode_cursor('/v1/fixes', Foreign(at))}")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "cursor")


@pytest.mark.parametrize(
    "path", ["/v1/learnings", "/v1/learnings/held", "/v1/collaborations", "/v1/patterns", "/v1/stats/agents"]
)
async def test_a_cursor_of_another_list_is_refused(api: Api, path: str) -> None:
    cursor = encode_cursor("/v1/fixes", Keyset(datetime.now(UTC), uuid4()))
    assert (await api.get(f"/v1/fixes?cursor={cursor}")).status_code == 200
    answer = await api.get(f"{path}?cursor={cursor}")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "cursor"), answer.text


OUTCOMES_REFUSED = {
    "an unknown kind": ({"kind": "great"}, "kind"),
    "no kind": ({}, "kind"),
    "the future": ({"kind": "held", "observed_at": "2999-01-01T00:00:00Z"}, "observed_at"),
    "a naive time": ({"kind": "held", "observed_at": "2020-01-01T00:00:00"}, "observed_at"),
    "another field": ({"kind": "held", "note": "x"}, "note"),
}


@pytest.mark.parametrize("case", OUTCOMES_REFUSED)
async def test_an_outcome_that_does_not_fit_names_the_field(api: Api, case: str) -> None:
    body, field = OUTCOMES_REFUSED[case]
    answer = await api.post(f"/v1/fixes/{uuid4()}/outcome", body)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, field)


@pytest.mark.parametrize(
    "body",
    [
        {"auto_merge": 0.5, "block": 0.5},
        {"auto_merge": 0.4, "block": 0.5},
        {"auto_merge": 1.1, "block": 0.5},
        {"auto_merge": 0.9, "block": -0.1},
        {"auto_merge": 0.9},
        {"auto_merge": 0.9, "block": 0.5, "other": 1},
    ],
)
async def test_thresholds_that_make_no_sense_are_refused(api: Api, body: dict[str, float]) -> None:
    answer = await api.call("PUT", "/v1/thresholds?repository=acme/shop", json=body)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    assert answer.json()["errors"]


@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_only_operators_see_and_set_thresholds(api: Api, method: str) -> None:
    api.keys["reader"] = await api.world.key("reader", ("read", "submit", "report"))
    answer = await api.call(method, "/v1/thresholds", as_="reader", json={"auto_merge": 0.9, "block": 0.1})
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
