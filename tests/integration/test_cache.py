"""Reads from the cache: never older than what was answered, and the same as without it."""

import asyncio
import re
from typing import Any

import msgspec
import pytest
import redis.asyncio as redis

from services.gateway import cache
from services.gateway.cache import Resource
from services.gateway.encodings import CODINGS
from services.gateway.representation import Representation
from tests.diffs import fix
from tests.outages import Frail
from tests.world import Api, World, eventually, http_client

LEARNING = {"agent_id": "claude", "title": "Close what you open", "body": "A connection is closed in a finally. " * 40}
CASE = {"agent_id": "claude", "title": "Logins fail", "collaboration_type": "incident", "quorum": 2}
IDEA = {"agent_id": "claude", "title": "Warm the cache first", "body": "Sessions are read before it is filled."}
# What differs from one answer to the next of the same kind.
OF_THE_MOMENT = ("date", "x-ratelimit-remaining", "x-ratelimit-reset", "ratelimit")


async def learn(api: Api, **changes: Any) -> str:
    answer = await api.post("/v1/learnings", LEARNING | changes)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def scored(api: Api) -> str:
    answer = await api.post("/v1/fixes", fix(), headers={"Prefer": "wait=9"})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def looked_up(api: Api, namespace: str) -> dict[str, int]:
    text = (await api.client.get("/metrics")).text
    head = f'cache_requests_total{{namespace="{namespace}",result="'
    lines = [line.removeprefix(head) for line in text.splitlines() if line.startswith(head)]
    return {result: int(float(count)) for result, count in (line.split('"} ') for line in lines)}


async def switch(api: Api, name: str, on: bool) -> None:
    answer = await api.call("PUT", f"/v1/flags/{name}", json={"on": on})
    assert answer.status_code == 200, answer.text


async def raw(api: Api, path: str, headers: dict[str, str]) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """As it came over the wire, not decoded, less what differs from one answer to the next."""
    if "owner" not in api.keys:
        api.keys["owner"] = await api.world.key("owner")
    asked = {"Authorization": f"Bearer {api.keys['owner']}", "Accept-Encoding": "identity"} | headers
    # A client of its own: nobody looks into the body before.
    async with (
        http_client(base_url=api.client.base_url) as client,
        client.stream("GET", path, headers=asked) as answer,
    ):
        body = b"".join([part async for part in answer.aiter_raw()])
        kept = [(name, value) for name, value in answer.headers.raw if name.lower().decode() not in OF_THE_MOMENT]
        return answer.status_code, kept, re.sub(rb'"trace_id":"[0-9a-f]{32}"', b'"trace_id":"..."', body)


@pytest.fixture
async def one(world: World) -> Api:
    await world.start("scoring", "patterns")
    return await world.gateway()


async def test_what_is_written_on_one_gateway_is_seen_by_the_next_read_on_another(one: Api, world: World) -> None:
    other = await world.gateway()
    first = await learn(one)
    fix_id = await scored(one)
    paths = ("/v1/learnings", f"/v1/learnings/{first}", "/v1/fixes", f"/v1/fixes/{fix_id}")
    for path in paths * 2:
        assert (await other.get(path)).status_code == 200
    before = await looked_up(other, "learnings"), await looked_up(other, "auto-fixes")
    assert [found["hit"] for found in before] == [2, 2]
    for n in range(5):
        made = await learn(one, title=f"Another {n}")
        assert (await other.get("/v1/learnings")).json()["items"][0]["id"] == made
        category = ("security", "refactor")[n % 2]
        corrected = await one.call("PATCH", f"/v1/fixes/{fix_id}", json={"category": category})
        assert corrected.json()["category"] == category
        assert (await other.get(f"/v1/fixes/{fix_id}")).json()["category"] == category
        assert (await other.get("/v1/fixes")).json()["items"][0]["category"] == category
    assert (await looked_up(other, "learnings"))["invalidated"] == 5
    assert (await looked_up(other, "auto-fixes"))["invalidated"] == 10
    await one.post(f"/v1/fixes/{fix_id}/outcome", {"kind": "held"}, as_="reporter")
    await one.until(f"/v1/fixes/{fix_id}", "status", "succeeded")
    assert (await other.get(f"/v1/fixes/{fix_id}")).json()["status"] == "succeeded"


async def test_every_step_of_a_collaboration_is_seen_on_another_gateway(one: Api, world: World) -> None:
    other = await world.gateway()
    made = await one.post("/v1/collaborations", CASE)
    path, listed = made.headers["location"], "/v1/collaborations"
    for _ in range(2):
        assert (await other.get(path)).json() == made.json()
        assert (await other.get(listed)).json()["items"] == [made.json()]
    assert (await looked_up(other, "collaborations"))["hit"] == 2

    async def seen() -> dict[str, Any]:
        found = (await other.get(path)).json()
        assert (await other.get(listed)).json()["items"] == [found]
        return dict(found)

    for voter in ("second", "third"):
        await one.post(f"{path}/join", {"agent_id": voter}, as_=voter)
        assert voter in (await seen())["agents"]
    await one.call("PATCH", path, json={"progress": 0.5})
    assert (await seen())["progress"] == 0.5
    idea = (await one.post(f"{path}/solutions", IDEA)).json()["id"]
    assert [solution["id"] for solution in (await seen())["solutions"]] == [idea]
    for votes, voter in enumerate(("second", "third"), 1):
        await one.call("PUT", f"{path}/solutions/{idea}/vote", json={"value": 1}, as_=voter)
        assert (await seen())["votes_cast"] == votes
    assert (await seen())["accepted_solution_id"] == idea


async def test_what_cannot_be_read_in_redis_is_read_anew_and_replaced(one: Api, world: World) -> None:
    made = (await one.post("/v1/learnings", LEARNING)).json()
    path, key = f"/v1/learnings/{made['id']}", f"learnings:item:{made['id']}"
    async with redis.Redis.from_url(world.servers.redis_url) as store:

        async def kept(instead_of: bytes | None) -> bytes | None:
            found: bytes | None = await store.get(key)
            return None if found == instead_of else found

        await one.get(path)
        whole: bytes = await eventually(lambda: kept(None))
        words, at, headers, _ = msgspec.msgpack.decode(whole)
        unpackable = msgspec.msgpack.encode([words, at, headers, b"no zstd"])
        for nonsense in (b"\xc1", whole[:-20], unpackable):
            await store.set(key, nonsense)
            other = await world.gateway()
            assert (await other.get(path)).json() == made, nonsense
            assert (await looked_up(other, "learnings"))["miss"] == 1
            await eventually(lambda garbage=nonsense: kept(garbage))


async def test_an_answer_is_the_same_from_the_route_from_the_cache_and_from_another_gateway(
    one: Api, world: World
) -> None:
    other = await world.gateway()
    made = [await learn(one, title=f"Lesson {n}") for n in range(3)]
    fix_id = await scored(one)
    weak = await world.key("reader", scopes=["submit"])
    reads = [
        ("/v1/learnings", {}),
        ("/v1/learnings?limit=2", {}),
        ("/v1/learnings?fields=title", {}),
        (f"/v1/learnings/{made[0]}", {}),
        ("/v1/fixes", {}),
        (f"/v1/fixes/{fix_id}", {}),
        *(("/v1/learnings", {"Accept-Encoding": coding}) for coding in (*CODINGS, "identity")),
        ("/v1/learnings", {"If-None-Match": "*"}),
        ("/v1/learnings?limit=0", {}),
        ("/v1/learnings?fields=nonsense", {}),
        (f"/v1/learnings/{fix_id}", {}),
        ("/v1/learnings/nonsense", {}),
        (f"/v1/learnings/{made[0]}", {"Authorization": f"Bearer {weak}"}),
        (f"/v1/learnings/{made[0]}", {"Authorization": "Bearer nonsense"}),
    ]
    await switch(one, "cache", False)
    plain = [await raw(one, path, headers) for path, headers in reads]
    await switch(one, "cache", True)

    async def heard() -> bool:
        return bool((await other.get("/v1/flags")).json()["items"][0]["on"])

    await eventually(heard)
    for api in (one, one, other):
        for (path, headers), expected in zip(reads, plain, strict=True):
            assert await raw(api, path, headers) == expected, (path, headers)
    assert (await looked_up(other, "learnings"))["hit"] >= 4, "bodies that the first gateway left in Redis"


async def test_without_the_cache_each_read_asks_the_database(one: Api, world: World) -> None:
    path = f"/v1/learnings/{await learn(one)}"

    async def title() -> str:
        return str((await one.get(path)).json()["title"])

    await title()
    await world.owner.execute("update patterns.agent_learnings set title = 'changed behind its back'")
    assert await title() == LEARNING["title"]
    before = await looked_up(one, "learnings")
    await switch(one, "cache", False)
    assert await title() == "changed behind its back"
    assert await looked_up(one, "learnings") == before
    await switch(one, "cache", True)
    assert await title() == LEARNING["title"]


async def test_readers_who_miss_together_ask_once(one: Api, world: World) -> None:
    made = await learn(one)
    async with world.owner.transaction():
        await world.owner.execute("lock table patterns.agent_learnings in access exclusive mode")
        reads = [asyncio.create_task(one.get(f"/v1/learnings/{made}")) for _ in range(20)]

        async def waiting() -> bool:
            return (await looked_up(one, "learnings")).get("miss") == 20

        async def queries() -> int:
            return int(
                await world.owner.fetchval(
                    "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and usename = 'gateway_ro'"
                )
            )

        await eventually(waiting)
        # The last of them has missed, and the first one's query may still be on its way.
        await eventually(queries)
        assert await queries() == 1
    assert {(answer.status_code, answer.json()["id"]) for answer in await asyncio.gather(*reads)} == {(200, made)}


async def test_bodies_in_redis_are_compressed_and_end_with_their_namespace(one: Api, world: World) -> None:
    made, fix_id = await learn(one), await scored(one)
    for path in ("/v1/learnings", f"/v1/learnings/{made}", "/v1/fixes", f"/v1/fixes/{fix_id}"):
        await one.get(path)
    most = {"learnings": 3600, "auto-fixes": 1800}
    async with redis.Redis.from_url(world.servers.redis_url) as store:

        async def kept() -> bool:
            return len(await keys()) == 4

        async def keys() -> list[bytes]:
            return [key for name in most async for key in store.scan_iter(f"{name}:*")]

        await eventually(kept)
        for key in await keys():
            assert most[key.split(b":")[0].decode()] - 10 < await store.ttl(key) <= most[key.split(b":")[0].decode()]
        body = (await one.get(f"/v1/learnings/{made}")).content
        assert await store.strlen(f"learnings:item:{made}") < len(body) / 2


async def test_a_fix_that_is_not_finished_is_never_cached(world: World) -> None:
    api = await world.gateway()
    handed_in = (await api.post("/v1/fixes", fix())).json()["id"]
    for _ in range(3):
        assert (await api.get(f"/v1/fixes/{handed_in}")).json()["status"] == "accepted"
    assert "hit" not in await looked_up(api, "auto-fixes")


async def test_without_redis_learnings_are_at_most_as_old_as_their_namespace_says_and_fixes_never_old(
    frail_world: World, outages: Frail, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "AWAY_SECONDS", 1.0)
    await frail_world.start("scoring", "patterns")
    api = await frail_world.gateway()
    made, fix_id = await learn(api), await scored(api)
    for path in (f"/v1/learnings/{made}", f"/v1/fixes/{fix_id}") * 2:
        await api.get(path)
    await outages.stop("valkey")
    await frail_world.owner.execute("update patterns.agent_learnings set title = 'told later'")
    await frail_world.owner.execute("update scoring.agent_auto_fixes set title = 'told at once'")
    assert (await api.get(f"/v1/learnings/{made}")).json()["title"] == LEARNING["title"]
    assert (await api.get(f"/v1/fixes/{fix_id}")).json()["title"] == "told at once"
    assert (await looked_up(api, "learnings"))["stale"] == 1

    async def told_later() -> bool:
        return bool((await api.get(f"/v1/learnings/{made}")).json()["title"] == "told later")

    await eventually(told_later, 3)


async def test_a_write_while_redis_was_away_is_seen_when_it_is_back(frail_world: World, outages: Frail) -> None:
    await frail_world.start("scoring", "patterns")
    one, other = await frail_world.gateway(), await frail_world.gateway()
    fix_id = await scored(one)
    path = f"/v1/fixes/{fix_id}"
    for _ in range(2):
        await other.get(path)
    outages.freeze("valkey")
    corrected = await one.call("PATCH", path, json={"category": "security"})
    assert corrected.status_code == 200
    outages.thaw("valkey")

    async def shared_again() -> bool:
        checks = [(await api.client.get("/readyz")).json()["status"] == "ok" for api in (one, other)]
        return all(checks)

    await eventually(shared_again)

    async def seen() -> bool:
        return bool((await other.get(path)).json()["category"] == "security")

    await eventually(seen, 3)


async def test_a_body_is_forgotten_before_memory_is_full(monkeypatch: pytest.MonkeyPatch, world: World) -> None:
    monkeypatch.setattr(cache, "MAX_BYTES", 100_000)
    held = cache.Cache(world.servers.redis_url, lambda namespace, result: None)
    resources = [Resource(cache.LEARNING, f"learnings:list:?cursor={n}", ("gen",)) for n in range(100)]
    for resource in resources:
        held.put(resource, (b"word",), Representation(b"x" * 5000, []))
    found = [held.find(resource, (b"word",), away=False) for resource in resources]
    assert [made is not None for made in found] == [False] * 90 + [True] * 10
    await held.close()
