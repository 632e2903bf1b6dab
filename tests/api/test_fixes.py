"""`/v1/fixes` as a client sees it, with the real services behind it."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import msgspec
import pytest

from services.gateway.paging import encode_cursor
from services.gateway.routes.fixes import wait_seconds
from shared.ids import fix_id
from tests.diffs import diff, fix
from tests.world import Api, World, eventually


@pytest.fixture
async def api(world: World) -> Api:
    await world.start("scoring", "patterns")
    return await world.gateway()


async def test_a_fix_is_accepted_scored_and_categorized(api: Api) -> None:
    answer = await api.post("/v1/fixes", fix())
    assert answer.status_code == 202
    assert answer.json()["status"] == "accepted"
    assert answer.headers["location"] == f"/v1/fixes/{answer.json()['id']}"
    assert UUID(answer.json()["id"]).version == 7
    first = await api.get(answer.headers["location"])
    assert first.status_code == 200
    scored = await api.until(answer.headers["location"], "status", "scored")
    assert 0 < scored["confidence"] < 1
    assert (scored["source"], scored["degraded"], scored["model_version"]) == ("formula", True, None)
    assert (scored["evidence"], scored["low_evidence"]) == (0, True)
    assert scored["decision"] in ("auto_merge", "review", "block")
    assert scored["submitted_at"].endswith("Z")
    assert scored["outcome"] is None


async def test_waiting_answers_with_the_whole_fix(api: Api) -> None:
    answer = await api.post("/v1/fixes", fix(), headers={"Prefer": "wait=10"})
    assert answer.status_code == 201
    body = answer.json()
    assert body["status"] == "scored"
    assert body["category"] in ("bug-fix", "performance", "security", "refactor", "uncertain")
    assert body["related"] == []


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        ("wait=10", 10),
        ("Wait = 10", 10),
        ("respond-async, wait=10", 10),
        ("wait=99", 30),
        ("await=10", 0),
        ("wait=soon", 0),
    ],
)
def test_a_preference_to_wait_is_read_as_rfc_7240_writes_it(prefer: str, seconds: int) -> None:
    assert wait_seconds(prefer) == seconds


async def test_waiting_in_vain_answers_202(world: World) -> None:
    api = await world.gateway()
    answer = await api.post("/v1/fixes", fix(), headers={"Prefer": "wait=1"})
    assert (answer.status_code, answer.json()["status"]) == (202, "accepted")
    assert (await api.get(answer.headers["location"])).json()["status"] == "accepted"


async def test_an_external_id_is_one_fix_however_often_it_is_sent(api: Api) -> None:
    body = fix(external_id="abc123")
    answers = await asyncio.gather(*(api.post("/v1/fixes", body) for _ in range(8)))
    assert {a.json()["id"] for a in answers} == {str(fix_id("acme/shop", "abc123"))}
    await api.until(answers[0].headers["location"], "status", "scored")
    repeat = await api.post("/v1/fixes", fix(external_id="abc123", title="another title"))
    assert (repeat.status_code, repeat.json()["title"]) == (200, "fix: no token")
    listed = await api.get("/v1/fixes?repository=acme/shop&external_id=abc123")
    assert len(listed.json()["items"]) == 1


async def test_an_idempotency_key_is_one_fix_of_one_principal(api: Api) -> None:
    headers = {"Idempotency-Key": "k1"}
    first = await api.post("/v1/fixes", fix(), headers=headers)
    again = await api.post("/v1/fixes", fix(), headers=headers)
    other = await api.post("/v1/fixes", fix(), headers=headers, as_="someone-else")
    assert first.json()["id"] == again.json()["id"] != other.json()["id"]


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


@pytest.mark.parametrize("content", [b"{", b"", b"[]", b"\xff\xfe", b'"x"', b"null"])
async def test_what_is_no_json_object_is_refused(api: Api, content: bytes) -> None:
    answer = await api.call("POST", "/v1/fixes", content=content, headers={"content-type": "application/json"})
    assert answer.status_code == 400, answer.text
    assert answer.json()["errors"]


async def test_a_body_over_the_limit_is_413(api: Api) -> None:
    answer = await api.post("/v1/fixes", fix(title="x" * (5 << 20)))
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


async def test_a_key_acts_only_for_its_agents(api: Api) -> None:
    api.keys["narrow"] = await api.world.key("narrow", agents=["claude*", "bot-?"])
    assert (await api.post("/v1/fixes", fix(agent_id="claude-2"), as_="narrow")).status_code == 202
    refused = await api.post("/v1/fixes", fix(agent_id="devin"), as_="narrow")
    assert (refused.status_code, refused.json()["code"]) == (403, "agent_not_allowed")


async def test_claimed_signals_alone_never_merge(api: Api) -> None:
    await api.world.owner.execute("update scoring.thresholds set auto_merge = 0.05, block = 0.01")
    bold = (await api.post("/v1/confidence", {"agent_id": "a", "repository": "r", "diff": diff()})).json()
    assert bold["decision"] in ("auto_merge", "review")


async def test_pages_follow_the_cursor_without_gap_or_repeat(api: Api) -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    sent = [fix(external_id=f"e{i}", submitted_at=(at + timedelta(hours=i)).isoformat()) for i in range(7)]
    for body in sent:
        assert (await api.post("/v1/fixes", body, headers={"Prefer": "wait=10"})).status_code == 201
    seen: list[str] = []
    path = "/v1/fixes?limit=3&fields=external_id"
    while path:
        answer = await api.get(path)
        items = answer.json()["items"]
        assert all(set(item) == {"id", "external_id"} for item in items)
        seen += [item["external_id"] for item in items]
        link = answer.headers.get("link")
        path = link[1 : link.index(">")] if link else ""
        assert (answer.json()["next_cursor"] is None) == (link is None)
    assert seen == [f"e{i}" for i in reversed(range(7))]


async def test_lists_filter(api: Api) -> None:
    await api.post("/v1/fixes", fix(agent_id="devin", domains=["auth"]), headers={"Prefer": "wait=10"})
    await api.post("/v1/fixes", fix(repository="acme/other"), headers={"Prefer": "wait=10"})
    for query, count in {
        "agent_id=devin": 1, "repository=acme/other": 1, "domain=auth": 1, "domain=none": 0, "status=scored": 2,
        "q=NO+TOKEN": 2, "q=absent": 0, "since=2100-01-01T00:00:00Z": 0, "until=2100-01-01T00:00:00Z": 2,
    }.items():  # fmt: skip
        assert len((await api.get(f"/v1/fixes?{query}")).json()["items"]) == count, query


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=201", "cursor=zzz", "fields=nothing", "external_id=x", "status=odd"]
)
async def test_a_query_that_does_not_fit_is_refused(api: Api, query: str) -> None:
    answer = await api.get(f"/v1/fixes?{query}")
    assert answer.status_code == 400, answer.text
    assert answer.json()["errors"][0]["field"] == query.split("=")[0]


class Foreign(msgspec.Struct):
    """What a keyset looks like, in whose time nobody ever handed one out."""

    at: str
    id: UUID = UUID(int=0)


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-01-01T00:00:00"])
async def test_a_cursor_that_nobody_handed_out_is_refused(api: Api, at: str) -> None:
    answer = await api.get(f"/v1/fixes?cursor={encode_cursor(Foreign(at))}")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "cursor")


async def test_an_unknown_fix_is_404(api: Api) -> None:
    answer = await api.get(f"/v1/fixes/{uuid4()}")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_a_correction_stands_beside_the_prediction_and_is_heard_again(api: Api) -> None:
    done = (await api.post("/v1/fixes", fix(), headers={"Prefer": "wait=10"})).json()
    answer = await api.call("PATCH", f"/v1/fixes/{done['id']}", json={"category": "security"})
    assert (answer.status_code, answer.json()["category"]) == (200, "security")
    assert answer.json()["category_confidence"] is None, "the prediction's was of another category"

    async def heard() -> bool:
        row = await api.world.owner.fetchrow(
            "select category from scoring.agent_auto_fixes where id = $1", UUID(done["id"])
        )
        return row["category"] == "security"

    await eventually(heard)
    unknown = await api.call("PATCH", f"/v1/fixes/{uuid4()}", json={"category": "security"})
    assert unknown.status_code == 404


async def test_features_alone_are_scored_without_the_code(api: Api) -> None:
    from shared.diffs import parse
    from shared.features.change import change_features

    features = change_features(parse(diff()))
    answer = await api.post("/v1/fixes", fix(diff=None, features=features), headers={"Prefer": "wait=10"})
    assert answer.status_code == 201, answer.text
    assert answer.json()["confidence"] is not None
