"""Limits and load on gateways whose servers go away: what is told, what is refused, what goes on."""

import asyncio
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.aio.msg import Msg

from shared import bus
from shared.bus import Bus
from tests.diffs import fix
from tests.outages import Frail
from tests.world import Api, World, eventually

REPLICAS = 2


async def says(api: Api, **fields: Any) -> None:
    async def check() -> bool:
        answer = await api.client.get("/readyz")
        assert answer.status_code == 200
        assert answer.json().items() >= fields.items()
        return True

    await eventually(check)


async def test_without_redis_each_gateway_gives_its_share_and_says_so_until_redis_is_back(
    frail_world: World, outages: Frail, tmp_path: Path
) -> None:
    policies = tmp_path / "limits.toml"
    policies.write_text('policies = [{ name = "user", limit = 20, window_seconds = 3600 }]')
    gateways = [await frail_world.gateway(policies=str(policies), replicas=REPLICAS) for _ in range(REPLICAS)]
    keys = {"owner": await frail_world.key("owner")}
    for api in gateways:
        api.keys |= keys
        assert (await api.get("/v1/models")).headers["ratelimit-policy"].startswith('"user";q=20;w=3600')
        await says(api, status="ok", rate_limits="redis")
    await outages.stop("valkey")
    await says(gateways[0], status="degraded", rate_limits="local")  # before any request has met it
    for api in gateways:
        answers = [await api.get("/v1/models") for _ in range(15)]
        assert [a.status_code for a in answers] == [200] * 10 + [429] * 5
        assert answers[-1].headers["ratelimit-policy"] == '"user";q=10;w=3600, "global";q=500;w=60'
        assert answers[-1].headers["x-ratelimit-limit"] == "10"
        assert int(answers[-1].headers["retry-after"]) > 300
        await says(api, status="degraded", rate_limits="local")
        text = (await api.client.get("/metrics")).text
        assert 'rate_limit_decisions_total{backend="local",policy="user",result="allowed"} 10.0' in text
    await outages.start("valkey")
    for api in gateways:
        await says(api, status="ok", rate_limits="redis")
    answer = await gateways[0].get("/v1/models")
    assert (answer.status_code, answer.headers["x-ratelimit-limit"]) == (200, "20")


async def test_when_the_bus_backs_up_bulk_work_is_refused_first_and_reads_go_on(
    frail_world: World, outages: Frail
) -> None:
    api = await frail_world.gateway(shed_publishes=2)
    await api.get("/v1/models")
    outages.freeze("nats")
    handing_in = [asyncio.ensure_future(api.post("/v1/fixes", fix())) for _ in range(3)]
    bulk = {"content": b"", "headers": {"Content-Type": "application/x-ndjson"}}

    async def shed() -> bool:
        answer = await api.call("POST", "/v1/fixes/bulk", **bulk)
        assert answer.status_code == 503
        assert answer.json()["code"] == "overloaded"
        assert int(answer.headers["retry-after"]) > 0
        assert "x-ratelimit-remaining" not in answer.headers  # it was not asked to pay
        return True

    await eventually(shed)
    retrain = await api.post("/v1/models/retrain", {})
    assert (retrain.status_code, retrain.json()["code"]) == (503, "overloaded")
    assert (await api.get("/v1/models")).status_code == 200
    handing_in += [asyncio.ensure_future(api.post("/v1/fixes", fix())) for _ in range(3)]

    async def refused() -> bool:
        return (await api.post("/v1/fixes", {})).json()["code"] == "overloaded"

    await eventually(refused)
    assert (await api.get("/v1/models")).status_code == 200
    assert (await api.post("/v1/outcomes", {})).json()["code"] == "invalid_request"
    outages.thaw("nats")
    await asyncio.gather(*handing_in)

    async def open_again() -> bool:
        return (await api.call("POST", "/v1/fixes/bulk", **bulk)).status_code == 200

    await eventually(open_again)
    assert 'requests_shed_total{route="POST /v1/fixes/bulk"}' in (await api.client.get("/metrics")).text


async def test_a_loop_that_lags_refuses_bulk_work_until_it_turns_again(frail_world: World) -> None:
    import time

    api = await frail_world.gateway(shed_lag_seconds=0.01)
    busy = True

    async def keep_busy() -> None:
        while busy:
            time.sleep(0.06)
            await asyncio.sleep(0)

    async def answers(code: int) -> bool:
        return (await api.call("POST", "/v1/fixes/bulk", content=b"")).status_code == code

    task = asyncio.create_task(keep_busy())
    await eventually(lambda: answers(503))
    busy = False
    await task
    await eventually(lambda: answers(200))


async def test_of_more_questions_than_are_answered_at_a_time_some_are_left_and_said_so(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(bus, "MOST_ANSWERING", 2)
    answering, free = Bus(world.settings("scoring_rw"), "scoring"), asyncio.Event()

    @answering.answer("test.asked")
    async def echo(message: Msg) -> bytes:
        await free.wait()
        return message.data

    await answering.open()
    await answering.start()
    asked = [asyncio.create_task(world.nats.request("test.asked", b"%d" % number, timeout=3)) for number in range(3)]

    async def left() -> bool:
        return "test.asked was not answered: 2 others are waiting" in caplog.text

    await eventually(left)
    free.set()
    said = await asyncio.gather(*asked, return_exceptions=True)
    assert sorted(type(answer) for answer in said if not isinstance(answer, Msg)) == [nats.errors.TimeoutError]
    assert (await world.nats.request("test.asked", b"again", timeout=3)).data == b"again"
    await answering.stop()


async def test_who_has_started_is_known_to_the_server(world: World) -> None:
    """Somebody else's question may overtake what this connection still has to say."""
    for _ in range(20):
        answering = Bus(world.settings("scoring_rw"), "scoring")

        @answering.answer("test.asked")
        async def echo(message: Msg) -> bytes:
            return message.data

        await answering.open()
        await answering.start()
        assert (await world.nats.request("test.asked", b"at once", timeout=3)).data == b"at once"
        await answering.stop()
