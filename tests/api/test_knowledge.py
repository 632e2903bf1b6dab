"""Patterns and learnings through the gateway."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from tests.bus import said
from tests.diffs import diff, fix
from tests.world import Api, World, eventually


@pytest.fixture
async def api(world: World) -> Api:
    await world.start("scoring", "patterns")
    return await world.gateway()


LEARNING = {
    "agent_id": "claude",
    "title": "Handlers must accept a user without a token",
    "body": "user.token may be None in handler(user): return early in src/auth.py",
    "agent_domains": ["auth"],
}


async def test_a_learning_comes_back_with_a_fix_like_it(api: Api) -> None:
    made = await api.post("/v1/learnings", LEARNING)
    assert made.status_code == 201, made.text
    learning = made.json()
    assert (learning["status"], learning["uses"], learning["confidence"], learning["version"]) == ("active", 0, None, 1)
    assert (await api.get(made.headers["location"])).json() == learning
    done = await api.post("/v1/fixes", fix(domains=["auth"]), headers={"Prefer": "wait=10"})
    related = done.json()["related"]
    assert [r["learning_id"] for r in related] == [learning["id"]]
    assert 0 < related[0]["similarity"] <= 1


async def test_a_learning_with_a_secret_is_held_and_shown_to_nobody(api: Api) -> None:
    body = LEARNING | {"body": LEARNING["body"] + "\nexport AWS_KEY=AKIAIOSFODNN7EXAMPLE"}
    assert (await api.post("/v1/learnings", body)).json()["status"] == "held"
    done = await api.post("/v1/fixes", fix(), headers={"Prefer": "wait=10"})
    assert done.json()["related"] == []


async def test_the_counts_of_a_learning_follow_the_fixes_that_cite_it(api: Api) -> None:
    learning = (await api.post("/v1/learnings", LEARNING)).json()
    path = f"/v1/learnings/{learning['id']}"
    fixes = []
    for number in range(3):
        body = fix(external_id=f"u{number}", learning_ids=[learning["id"]])
        fixes.append((await api.post("/v1/fixes", body, headers={"Prefer": "wait=10"}, as_="agent")).json())
    for sent, kind in zip(fixes, ("held", "reverted", "held"), strict=True):
        for _ in range(2):
            await api.post(f"/v1/fixes/{sent['id']}/outcome", {"kind": kind}, as_="reviewer")

    async def counted() -> bool:
        now = (await api.get(path)).json()
        assert (now["uses"], now["successes"]) == (3, 2), now
        return now["confidence"] == pytest.approx(2 / 3)

    await eventually(counted)


async def test_near_duplicates_and_patterns_are_told(api: Api) -> None:
    first = (await api.post("/v1/fixes", fix(), headers={"Prefer": "wait=10"})).json()
    second = (await api.post("/v1/fixes", fix(agent_id="devin"), headers={"Prefer": "wait=10"})).json()
    third = (await api.post("/v1/fixes", fix(agent_id="codex"), headers={"Prefer": "wait=10"})).json()
    assert first["duplicate_of"] is None
    assert second["duplicate_of"] == third["duplicate_of"] == first["id"]
    pattern = (await api.get(f"/v1/patterns/{third['pattern_id']}")).json()
    assert pattern["support"] == 3
    assert "auth" in pattern["label"]
    assert (await api.get(f"/v1/fixes/{first['id']}")).json()["pattern_id"] == third["pattern_id"]
    assert [p["id"] for p in (await api.get("/v1/patterns")).json()["items"]] == [third["pattern_id"]]
    await taken_in(api, third["pattern_id"], first, second)


async def taken_in(api: Api, pattern_id: str, *earlier: dict[str, Any]) -> None:
    """It is said of each, once, that it belongs to the pattern that formed after it; scoring has heard it."""
    events = [json.loads(message.data) for message in await said(api.world, "FIXES", "fixes.categorized.v1")]
    again = [event for event in events if event.get("revision") == 1]
    assert sorted(event["id"] for event in again) == sorted(fix["id"] for fix in earlier)
    assert {(event["pattern_id"], event["category"]) for event in again} == {(pattern_id, earlier[0]["category"])}

    async def heard() -> bool:
        sql = "select pattern_id, status from scoring.agent_auto_fixes"
        return {tuple(map(str, row)) for row in await api.world.owner.fetch(sql)} == {(pattern_id, "scored")}

    await eventually(heard)


async def test_an_old_fix_is_repeated_as_long_as_it_is_open(api: Api) -> None:
    body, months_ago = fix(), (datetime.now(UTC) - timedelta(days=90)).isoformat()
    first = (await api.post("/v1/fixes", body | {"submitted_at": months_ago}, headers={"Prefer": "wait=10"})).json()
    analysis = await api.post("/v1/patterns/analyze", {name: body[name] for name in ("diff", "title", "repository")})
    assert analysis.json()["duplicate_of"] == first["id"]
    await api.post(f"/v1/fixes/{first['id']}/outcome", {"kind": "rejected"}, as_="reviewer")
    settled = "select count(*) from patterns.fix_patterns where settled"
    await eventually(lambda: api.world.owner.fetchval(settled))
    later = (await api.post("/v1/fixes", body, headers={"Prefer": "wait=10"})).json()
    assert later["duplicate_of"] is None


async def test_analysis_stores_nothing(api: Api) -> None:
    answer = await api.post("/v1/patterns/analyze", {"diff": diff(), "title": "fix: token", "repository": "acme/shop"})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert sum(body["categories"].values()) == pytest.approx(1)
    assert set(body["categories"]) == {"bug-fix", "performance", "security", "refactor"}
    assert (body["pattern_id"], body["novelty"], body["languages"]) == (None, None, {"python": 1})
    assert await api.world.owner.fetchval("select count(*) from patterns.fix_patterns") == 0
    refused = await api.post("/v1/patterns/analyze", {"diff": "no diff"})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (400, "diff")


async def test_an_idempotent_learning_is_one(api: Api) -> None:
    headers = {"Idempotency-Key": "once"}
    ids = {(await api.post("/v1/learnings", LEARNING, headers=headers)).json()["id"] for _ in range(3)}
    assert len(ids) == 1
    assert len((await api.get("/v1/learnings?domain=auth&q=TOKEN")).json()["items"]) == 1


@pytest.mark.parametrize("path", ["/v1/learnings", "/v1/patterns"])
async def test_what_is_not_there_is_404(api: Api, path: str) -> None:
    assert (await api.get(f"{path}/{uuid4()}")).status_code == 404


async def test_a_learning_needs_its_agent(api: Api) -> None:
    api.keys["narrow"] = await api.world.key("narrow", agents=["devin"])
    answer = await api.post("/v1/learnings", LEARNING, as_="narrow")
    assert (answer.status_code, answer.json()["code"]) == (403, "agent_not_allowed")
