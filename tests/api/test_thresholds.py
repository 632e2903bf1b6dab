"""Which confidence is enough, for everybody and for one repository."""

from typing import Any

from tests.diffs import fix
from tests.world import Api, World, eventually

EVERYBODY = {"repository": "", "auto_merge": 0.95, "block": 0.6, "inherited": False}


async def put(api: Api, repository: str, **body: Any) -> Any:
    return await api.call("PUT", "/v1/thresholds", params={"repository": repository} if repository else {}, json=body)


async def decision(api: Api, **fields: Any) -> str:
    answer = await api.post("/v1/confidence", {k: v for k, v in fix(**fields).items() if k != "title"})
    assert answer.status_code == 200, answer.text
    found: str = answer.json()["decision"]
    return found


async def test_a_repository_has_everybodys_until_it_has_its_own(world: World) -> None:
    await world.start("scoring")
    api = await world.gateway()
    assert (await api.get("/v1/thresholds")).json() == EVERYBODY
    inherited = (await api.get("/v1/thresholds?repository=acme/shop")).json()
    assert inherited == EVERYBODY | {"repository": "acme/shop", "inherited": True}
    own = EVERYBODY | {"repository": "acme/shop", "auto_merge": 0.9, "block": 0.0}
    answer = await put(api, "acme/shop", auto_merge=0.9, block=0.0)
    assert (answer.status_code, answer.json()) == (200, own)
    assert (await api.get("/v1/thresholds?repository=acme/shop")).json() == own
    assert (await api.get("/v1/thresholds")).json() == EVERYBODY


async def test_every_replica_decides_by_new_thresholds(world: World) -> None:
    await world.start("scoring", "scoring", "patterns")
    api = await world.gateway()
    await put(api, "", auto_merge=1.0, block=0.01)

    async def reviewed() -> bool:
        return {await decision(api) for _ in range(12)} == {"review"}

    await eventually(reviewed)
    await put(api, "acme/shop", auto_merge=0.5, block=0.01)

    async def merged() -> bool:
        return {await decision(api) for _ in range(12)} == {"auto_merge"}

    await eventually(merged)
    assert await decision(api, repository="acme/other") == "review"
    done = await api.post("/v1/fixes", fix(), headers={"Prefer": "wait=10"})
    assert done.json()["decision"] == "auto_merge"
    await put(api, "acme/shop", auto_merge=1.0, block=0.99)

    async def blocked() -> bool:
        return {await decision(api) for _ in range(12)} == {"block"}

    await eventually(blocked)
