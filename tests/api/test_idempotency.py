"""`Idempotency-Key` on every POST that creates: a table over the routes of the application itself."""

from typing import Any
from uuid import uuid4

import pytest
import redis.asyncio as redis

from services.gateway.app import ROUTES
from services.gateway.idempotency import TAKES
from services.gateway.route_names import names_of
from shared.contracts.fixes import FixCategorized
from tests.diffs import fix
from tests.world import Api, World

# What they do leaves nothing new behind, or has a name of its own for it: `external_id`, or the letter's number.
CREATE_NOTHING = {
    "POST /v1/batch",
    "POST /v1/confidence",
    "POST /v1/confidence/batch",
    "POST /v1/dead-letters/{letter_id}/replay",
    "POST /v1/fixes/bulk",
    "POST /v1/learnings/{learning_id}/release",
    "POST /v1/patterns/analyze",
}
LEARNING = {"agent_id": "claude", "title": "Close what you open", "body": "A connection is closed in a finally."}
CASE = {"agent_id": "claude", "title": "Logins fail after a deploy", "collaboration_type": "incident"}
IDEA = {"agent_id": "claude", "title": "Warm the cache first", "body": "Sessions are read before it is filled."}
NAMED = {"repository": "acme/shop", "external_id": "pull/7", "kind": "held"}
# Route, payload, and what another payload has in its place.
CREATES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "POST /v1/fixes": (fix(), {"title": "another"}),
    "POST /v1/fixes/{fix_id}/outcome": ({"kind": "held"}, {"kind": "reverted"}),
    "POST /v1/outcomes": (NAMED, {"kind": "reverted"}),
    "POST /v1/learnings": (LEARNING, {"title": "another"}),
    "POST /v1/collaborations": (CASE, {"title": "another"}),
    "POST /v1/collaborations/{collaboration_id}/join": ({"agent_id": "claude"}, {"agent_id": "codex"}),
    "POST /v1/collaborations/{collaboration_id}/solutions": (IDEA, {"title": "another"}),
    "POST /v1/models/retrain": ({"reason": "one"}, {"reason": "another"}),
    "POST /v1/models/{version}/promote": ({"reason": "one"}, {"reason": "another"}),
}
ROWS = """
select (select count(*) from patterns.agent_learnings) + (select count(*) from patterns.agent_collaborations)
  + (select count(*) from patterns.collaboration_solutions)
"""
MODEL = """
insert into trainer.models (version, kind, number, status, metrics, rows, sha256, feature_set, lineage)
values ('confidence-1', 'confidence', 1, 'candidate', '{}', 200, 'none', 'none', '{}')
"""


@pytest.fixture(scope="module")
async def gateways(standing: World) -> tuple[Api, Api]:
    await standing.start("patterns")
    await standing.owner.execute(MODEL)
    one, other = await standing.gateway(), await standing.gateway()
    other.keys = one.keys
    return one, other


async def path_of(api: Api, route: str) -> str:
    """With the id of something that is there, where that is asked for."""
    path = route.removeprefix("POST ").replace("{fix_id}", str(uuid4())).replace("{version}", "confidence-1")
    if "{collaboration_id}" not in path:
        return path
    opened = await api.post("/v1/collaborations", CASE)
    return path.replace("{collaboration_id}", opened.json()["id"])


async def left_behind(api: Api) -> int:
    """Rows, and messages of what was asked for; patterns also works on the fixes of other tests meanwhile."""
    js = api.world.nats.jetstream()
    infos = [await js.stream_info(stream, subjects_filter=">") for stream in ("FIXES", "MODELS")]
    counts = {subject: count for info in infos for subject, count in (info.state.subjects or {}).items()}
    return int(await api.world.owner.fetchval(ROWS)) + sum(counts.values()) - counts.get(FixCategorized.SUBJECT, 0)


async def held(store: "redis.Redis") -> bytes:
    """The key of the one claim there is."""
    [name] = [name async for name in store.scan_iter("idempotency:*")]
    assert isinstance(name, bytes)
    return name


def test_the_table_knows_every_route() -> None:
    posts = {names_of([handler])[0]: handler for handler in ROUTES if "POST" in handler.http_methods}
    assert set(CREATES) == set(posts) - CREATE_NOTHING
    takes = {name for name, handler in posts.items() if TAKES in handler.parsed_fn_signature.parameters}
    assert takes == set(CREATES)


@pytest.mark.parametrize("route", CREATES)
async def test_a_repeat_is_the_same_and_does_nothing_twice_with_redis_or_without_its_memory(
    gateways: tuple[Api, Api], route: str
) -> None:
    one, other = gateways
    (body, changes), key = CREATES[route], {"Idempotency-Key": route}
    path = await path_of(one, route)
    async with redis.Redis.from_url(one.world.servers.redis_url) as store:
        await store.flushall()
        first = await one.post(path, body, headers=key)
        assert first.status_code in (200, 201, 202), first.text
        before = await left_behind(one)
        refused = await other.post(path, body | changes, headers=key)
        assert (refused.status_code, refused.json()["code"]) == (422, "idempotency_mismatch")
        name = await held(store)
        # As it stands until the first one is answered.
        await store.set(name, (await store.get(name)).replace(b"done:", b"under way:"))
        early = await other.post(path, body, headers=key)
        assert (early.status_code, early.json()["code"]) == (409, "idempotency_in_progress")
        await store.flushall()
        again = await other.post(path, body, headers=key)
    assert again.status_code in (200, first.status_code)
    assert again.json() == first.json()
    assert await left_behind(one) == before
    assert (await other.post(path, body, headers={"Idempotency-Key": f"{route} anew"})).is_success
