"""`/v1/fixes` as a client sees it, with the real services behind it."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

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
