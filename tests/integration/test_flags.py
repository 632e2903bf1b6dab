"""Flags: switched while everything runs, heard by every replica, kept over a restart."""

from nats.js.errors import KeyNotFoundError

from shared.flags import FLAGS
from shared.topology import FLAGS_BUCKET
from tests.outages import Frail
from tests.world import Api, World, eventually


async def listed(api: Api) -> dict[str, dict[str, object]]:
    return {flag["name"]: flag for flag in (await api.get("/v1/flags")).json()["items"]}


async def switch(api: Api, name: str, on: bool) -> None:
    answer = await api.call("PUT", f"/v1/flags/{name}", json={"on": on})
    assert (answer.status_code, answer.json()["on"]) == (200, on), answer.text


async def shown(api: Api, name: str, on: bool) -> None:
    async def check() -> bool:
        return (await listed(api))[name]["on"] is on

    await eventually(check)


async def test_until_somebody_chooses_the_defaults_hold(world: World) -> None:
    flags = await listed(await world.gateway())
    assert {name: flag["on"] for name, flag in flags.items()} == {flag.name: flag.default for flag in FLAGS}
    assert all(flag["changed_by"] is None and flag["changed_at"] is None and flag["does"] for flag in flags.values())


async def test_a_flag_set_on_one_gateway_is_heard_by_another_and_says_who_set_it(world: World) -> None:
    one, other = await world.gateway(), await world.gateway()
    await switch(one, "cache", False)
    await shown(other, "cache", False)
    flag = (await listed(other))["cache"]
    assert flag["changed_by"] == "owner"
    assert flag["changed_at"] is not None
    await switch(other, "cache", True)
    await shown(one, "cache", True)


async def test_a_replica_that_starts_later_knows_the_choice_and_a_deleted_choice_is_the_default(world: World) -> None:
    await switch(await world.gateway(), "model_scoring", False)
    api = await world.gateway()
    await shown(api, "model_scoring", False)
    bucket = await world.nats.jetstream().key_value(FLAGS_BUCKET)
    await bucket.delete("model_scoring")
    await shown(api, "model_scoring", True)


async def test_what_is_no_setting_changes_nothing(world: World) -> None:
    api = await world.gateway()
    bucket = await world.nats.jetstream().key_value(FLAGS_BUCKET)
    await bucket.put("cache", b"off")
    await bucket.put("unheard-of", b'{"on":false}')
    await bucket.put("shedding", b'{"on":false}')
    await shown(api, "shedding", False)
    flags = await listed(api)
    assert flags["cache"]["on"] is True
    assert "unheard-of" not in flags


async def test_an_unknown_flag_is_404_and_a_flag_that_is_not_a_boolean_400(world: World) -> None:
    api = await world.gateway()
    assert (await api.call("PUT", "/v1/flags/turbo", json={"on": True})).status_code == 404
    assert (await api.call("PUT", "/v1/flags/cache", json={"on": "yes"})).status_code == 400
    bucket = await world.nats.jetstream().key_value(FLAGS_BUCKET)
    for name in ("turbo", "cache"):
        try:
            raise AssertionError(await bucket.get(name))
        except KeyNotFoundError:
            continue


async def test_without_shedding_nothing_is_refused_however_late_the_loop_is(world: World) -> None:
    api = await world.gateway(shed_lag_seconds=1e-9)
    bucket = await world.nats.jetstream().key_value(FLAGS_BUCKET)

    async def answers(status: int) -> bool:
        return (await api.get("/v1/flags")).status_code == status

    await eventually(lambda: answers(503))
    await bucket.put("shedding", b'{"on":false}')
    await eventually(lambda: answers(200))
    assert all([await answers(200) for _ in range(5)])
    await bucket.put("shedding", b'{"on":true}')
    await eventually(lambda: answers(503))


async def test_a_choice_outlives_nats_and_changes_are_heard_after_it(frail_world: World, outages: Frail) -> None:
    one, other = await frail_world.gateway(), await frail_world.gateway()
    await switch(one, "coalescing", False)
    await shown(other, "coalescing", False)
    await outages.stop("nats")
    answer = await one.call("PUT", "/v1/flags/cache", json={"on": False})
    assert (answer.status_code, answer.json()["code"]) == (503, "bus_unavailable")
    assert (await listed(other))["coalescing"]["on"] is False
    await outages.start("nats")

    async def again() -> bool:
        return (await one.call("PUT", "/v1/flags/cache", json={"on": False})).status_code == 200

    await eventually(again)
    await shown(other, "cache", False)
    assert (await listed(other))["coalescing"]["on"] is False
