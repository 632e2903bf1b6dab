"""A request that was answered is freed at once: a gateway that searches for garbage makes everybody wait meanwhile."""

import gc
from collections import Counter
from collections.abc import Awaitable, Callable

import httpx
import pytest
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from services.gateway.exchange import Exchange
from tests.diffs import fix
from tests.world import World, http_client

REQUESTS = 30
ASKS: dict[str, Callable[[httpx.AsyncClient], Awaitable[httpx.Response]]] = {
    "read from the cache": lambda client: client.get("/v1/learnings"),
    "read by a route": lambda client: client.get("/v1/models"),
    "asked of scoring": lambda client: client.post("/v1/confidence", json=fix()),
    "submitted": lambda client: client.post("/v1/fixes", json=fix()),
    "waited for": lambda client: client.post("/v1/fixes", json=fix(), headers={"Prefer": "wait=9"}),
    "not found": lambda client: client.get("/v1/nothing"),
    "refused": lambda client: client.post("/v1/fixes", json={}),
}


@pytest.mark.parametrize("ask", ASKS.values(), ids=ASKS)
async def test_a_request_is_freed_without_a_search(
    world: World, ask: Callable[[httpx.AsyncClient], Awaitable[httpx.Response]]
) -> None:
    await world.start("scoring", "patterns")
    api = await world.gateway()
    headers = {"Authorization": f"Bearer {await world.key('owner')}"}
    async with http_client(base_url=api.client.base_url, headers=headers) as client:
        await ask(client)
        gc.collect()
        gc.disable()
        try:
            for _ in range(REQUESTS):
                assert (await ask(client)).status_code < 500
            left = Counter(type(found) for found in gc.get_objects())
        finally:
            gc.enable()
    assert left[RequestResponseCycle] + left[Exchange] < REQUESTS / 3
