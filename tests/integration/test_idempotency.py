"""`Idempotency-Key`: a repeat is told early what it is, and never does anything twice, with Redis or without."""

import asyncio

import redis.asyncio as redis

from tests.bus import said
from tests.diffs import fix
from tests.outages import Frail
from tests.world import World

KEY = {"Idempotency-Key": "one and the same"}


async def keys(world: World) -> dict[str, int]:
    """What Redis holds of them, with the seconds it keeps each."""
    async with redis.Redis.from_url(world.servers.redis_url) as store:
        return {name.decode(): await store.ttl(name) async for name in store.scan_iter("idempotency:*")}


async def test_a_key_is_its_principals_own_and_stands_for_a_day(world: World) -> None:
    api = await world.gateway()
    assert (await api.post("/v1/fixes", fix(), headers=KEY)).status_code == 202
    assert all(seconds > 86_000 for seconds in (await keys(world)).values())
    refused = await api.post("/v1/fixes", fix(title="another"), headers=KEY)
    assert (refused.status_code, refused.json()["code"]) == (422, "idempotency_mismatch")
    assert (await api.post("/v1/fixes", fix(title="another"), headers=KEY, as_="somebody")).status_code == 202


async def test_a_repeat_meanwhile_is_told_to_wait(world: World) -> None:
    api = await world.gateway()
    patient = asyncio.create_task(api.post("/v1/fixes", fix(), headers=KEY | {"Prefer": "wait=2"}))
    while not await keys(world):
        await asyncio.sleep(0.01)
    answer = await api.post("/v1/fixes", fix(), headers=KEY)
    assert (answer.status_code, answer.json()["code"]) == (409, "idempotency_in_progress")
    assert answer.headers["retry-after"] == "1"
    assert all(seconds <= 60 for seconds in (await keys(world)).values())
    first = await patient
    assert first.status_code == 202
    assert (await api.post("/v1/fixes", fix(), headers=KEY)).json()["id"] == first.json()["id"]


async def test_what_was_refused_may_be_sent_again_otherwise(world: World) -> None:
    api = await world.gateway()
    assert (await api.post("/v1/fixes", fix(diff="no diff"), headers=KEY)).status_code == 400
    assert (await api.post("/v1/fixes", fix(), headers=KEY)).status_code == 202
    assert (await api.post("/v1/fixes", fix(), headers={"Idempotency-Key": "x" * 256})).status_code == 400


async def test_losing_redis_doubles_nothing(frail_world: World, outages: Frail) -> None:
    api = await frail_world.gateway()
    first = await api.post("/v1/fixes", fix(), headers=KEY)
    await outages.stop("valkey")
    again = await api.post("/v1/fixes", fix(), headers=KEY)
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.json()["id"] == first.json()["id"]
    await outages.start("valkey")
    assert (await api.post("/v1/fixes", fix(), headers=KEY)).json()["id"] == first.json()["id"]
    assert len(await said(frail_world, "FIXES", "fixes.submitted.v1")) == 1
