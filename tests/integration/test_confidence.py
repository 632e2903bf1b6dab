"""`POST /v1/confidence`: asked together, answered alike by its route and at the edge, and kept until the promotion."""

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import msgspec
import pytest
import redis.asyncio as redis
from nats.aio.msg import Msg

from services.gateway.coalescer import IN_FLIGHT
from services.gateway.predictions import KEEP_SECONDS
from shared.contracts.commands import CONFIDENCE, Candidate, Confidence, ExplainedConfidence, Problem, Reply
from shared.contracts.models import ModelPromoted
from tests.bus import say
from tests.diffs import diff
from tests.world import Api, World, eventually

ASKED = {"agent_id": "claude", "repository": "acme/shop", "diff": diff()}
OF_THE_MOMENT = ("date", "x-ratelimit-remaining", "x-ratelimit-reset", "ratelimit")


class Scoring:
    """A worker on the real bus, so slow that questions meet; its numbers say which question they answer."""

    def __init__(self) -> None:
        self.version: str | None = None
        self.lists: list[int] = []
        self.on_their_way = self.most_on_their_way = 0
        self.seconds = 0.05

    async def answer(self, message: Msg) -> None:
        candidates = msgspec.json.decode(message.data, type=list[Candidate])
        self.lists.append(len(candidates))
        self.on_their_way += 1
        self.most_on_their_way = max(self.most_on_their_way, self.on_their_way)
        await asyncio.sleep(self.seconds)
        self.on_their_way -= 1
        await message.respond(msgspec.json.encode([self.reply(candidate) for candidate in candidates]))

    def reply(self, candidate: Candidate) -> Reply:
        if candidate.repository == "acme/unknown":
            return Reply(problem=Problem(status=400, code="invalid_request", detail="no", field="repository"))
        fields: dict[str, Any] = {
            "confidence": len(candidate.agent_id) / 1000, "source": "model" if self.version else "formula",
            "degraded": self.version is None, "model_version": self.version, "evidence": 1, "low_evidence": True,
            "decision": "review",
        }  # fmt: skip
        explained = {"base_value": 0.0, "contributions": (), "others": 0.0, "raw_score": 0.0}
        said = ExplainedConfidence(**fields, **explained) if candidate.explain else Confidence(**fields)
        return Reply(value=msgspec.Raw(msgspec.json.encode(said)))


@pytest.fixture
async def scoring(world: World) -> Scoring:
    made = Scoring()
    # Each message in a task of its own: a worker answers several lists at once.
    running: set[asyncio.Task[None]] = set()

    async def heard(message: Msg) -> None:
        task = asyncio.create_task(made.answer(message))
        running.add(task)
        task.add_done_callback(running.discard)

    await world.nats.subscribe(CONFIDENCE, cb=heard)
    return made


async def promoted(world: World, *gateways: Api, number: int) -> str:
    """The registry's row and the announcement; returns once every gateway has heard it."""
    version = f"confidence-{number}"
    await world.owner.execute("update trainer.models set status = 'retired' where status = 'champion'")
    await world.owner.execute(
        "insert into trainer.models (version, kind, number, status, metrics, rows, sha256, feature_set, lineage) "
        "values ($1, 'confidence', $2, 'champion', '{}', 200, 'none', 'none', '{}')",
        version,
        number,
    )
    await say(world, ModelPromoted(promotion_id=number, version=version, kind="confidence", sha256="none"))
    return version


async def ask(api: Api, path: str = "/v1/confidence", **body: Any) -> dict[str, Any]:
    answer = await api.post(path, ASKED | body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def test_questions_that_meet_ride_together_and_each_gets_its_own_answer(world: World, scoring: Scoring) -> None:
    api = await world.gateway()
    await api.get("/v1/flags")  # the key is known from here on
    names = ["a" * n for n in range(1, 41)]
    answers = await asyncio.gather(*(ask(api, agent_id=name) for name in names))
    assert [answer["confidence"] for answer in answers] == [len(name) / 1000 for name in names]
    assert scoring.most_on_their_way == IN_FLIGHT
    assert len(scoring.lists) < 8
    await api.call("PUT", "/v1/flags/coalescing", json={"on": False})
    scoring.lists.clear()
    await asyncio.gather(*(ask(api, agent_id=name) for name in names))
    assert scoring.lists == [1] * 40


async def test_the_route_and_the_edge_answer_alike(world: World, scoring: Scoring) -> None:
    scoring.seconds = 0
    api = await world.gateway()
    agent = await world.key("agent", agents=["claude*"])
    weak = await world.key("weak", scopes=["submit"])
    owner = await world.key("owner")
    good = msgspec.json.encode(ASKED)
    requests: list[tuple[str, str, bytes, dict[str, str]]] = [
        ("", owner, good, {}),
        ("?explain=true", owner, good, {}),
        ("?explain=nonsense", owner, good, {}),
        ("", agent, good, {}),
        ("", agent, good.replace(b"claude", b"gemini"), {}),
        ("", weak, good, {}),
        ("", owner[:-1] + "x", good, {}),
        ("", owner, good.replace(b"acme/shop", b"acme/unknown"), {}),
        ("", owner, good[:-1], {}),
        ("", owner, b"\xff", {}),
        ("", owner, b"", {}),
        ("", owner, b'{"agent_id":"claude","repository":"acme/shop"}', {}),
        ("", owner, b'{"agent_id":"claude","repository":"acme/shop","diff":"no diff"}', {}),
        ("", owner, b'{"agent_id":"claude","repository":"acme/shop","features":{"nonsense":1}}', {}),
        ("", owner, b'{"agent_id":"","repository":"acme/shop","diff":""}', {}),
        ("", owner, good.replace(b"{", b'{"typo":1,', 1), {}),
        ("", owner, good, {"Content-Type": "text/plain"}),
        ("", owner, good, {"Accept-Encoding": "gzip"}),
    ]

    async def answers() -> Sequence[object]:
        for key in (owner, agent, weak):
            await api.client.get("/v1/flags", headers={"Authorization": f"Bearer {key}"})
        return [await plain(api, *request) for request in requests]

    await api.call("PUT", "/v1/flags/coalescing", json={"on": False})
    by_route = await answers()
    await api.call("PUT", "/v1/flags/coalescing", json={"on": True})
    for request, at_edge, expected in zip(requests, await answers(), by_route, strict=True):
        assert at_edge == expected, request


async def plain(api: Api, query: str, key: str, body: bytes, headers: dict[str, str]) -> object:
    sent = {"Authorization": f"Bearer {key}", "Content-Type": "application/json", "Accept-Encoding": "identity"}
    answer: httpx.Response = await api.client.post(f"/v1/confidence{query}", content=body, headers=sent | headers)
    kept = sorted((name, value) for name, value in answer.headers.items() if name not in OF_THE_MOMENT)
    return answer.status_code, kept, re.sub(r'"trace_id":"[0-9a-f]{32}"', '"trace_id":"..."', answer.text)


async def test_a_prediction_is_kept_on_every_gateway_until_another_model_is_promoted(
    world: World, scoring: Scoring
) -> None:
    one, other = await world.gateway(), await world.gateway()
    assert [(await ask(one))["cached"] for _ in range(3)] == [False] * 3, "a fallback's answer is not kept"
    for number in (1, 2):
        scoring.version = await promoted(world, one, other, number=number)

        async def kept(version: str = scoring.version) -> bool:
            said = await ask(one), await ask(other)
            return all(answer["model_version"] == version and answer["cached"] for answer in said)

        await eventually(kept)
        first = await ask(one)
        assert (first["cached"], first["model_version"]) == (True, scoring.version)
        asked = len(scoring.lists)
        assert await ask(other) == first
        assert (await ask(other, author="someone else"))["cached"] is False, "everything that is scored is in the key"
        whole = {"title": "fix: login", "external_id": "4f1c2d7", "domains": ["auth"], "learning_ids": [str(uuid4())]}
        assert await ask(other, **whole) == first, "a fix is asked about as it would be handed in"
        assert len(scoring.lists) == asked + 1
        explained = await ask(one, "/v1/confidence?explain=true")
        assert "contributions" in explained
    text = (await one.client.get("/metrics")).text
    for result in ("hit", "miss", "invalidated"):
        assert re.search(rf'cache_requests_total{{namespace="predictions",result="{result}"}} [1-9]', text), result


async def test_a_kept_prediction_that_cannot_be_read_is_asked_for_anew(world: World, scoring: Scoring) -> None:
    api = await world.gateway()
    scoring.version = await promoted(world, api, number=1)

    async def is_kept() -> bool:
        return bool((await ask(api))["cached"])

    await eventually(is_kept)
    async with redis.Redis.from_url(world.servers.redis_url) as store:
        [key] = [key async for key in store.scan_iter("ml:confidence:*")]
        for nonsense in (b"", b"\xc1", b"\x93"):
            # What was asked until it was kept is kept once more.
            await asyncio.sleep(5 * KEEP_SECONDS)
            await store.set(key, nonsense)
            assert (await ask(api))["cached"] is False
            await eventually(is_kept)


async def test_with_the_cache_off_every_question_reaches_scoring(world: World, scoring: Scoring) -> None:
    api = await world.gateway()
    scoring.version = await promoted(world, api, number=1)

    async def is_kept() -> bool:
        return bool((await ask(api))["cached"])

    await eventually(is_kept)
    await api.call("PUT", "/v1/flags/cache", json={"on": False})
    asked = len(scoring.lists)
    assert [(await ask(api))["cached"] for _ in range(3)] == [False] * 3
    assert len(scoring.lists) == asked + 3


async def test_who_is_over_a_limit_costs_scoring_at_most_one_question_a_second(
    world: World, scoring: Scoring, tmp_path: Path
) -> None:
    policies = tmp_path / "policies.toml"
    policies.write_text('policies = [{ name = "few", limit = 3, routes = ["POST /v1/confidence"] }]')
    api = await world.gateway(policies=str(policies))
    scoring.seconds = 0
    for name in ("a", "b", "c"):
        await ask(api, agent_id=name)
    scoring.lists.clear()
    refused = [await api.post("/v1/confidence", ASKED | {"agent_id": f"over-{n}"}) for n in range(20)]
    assert [answer.status_code for answer in refused] == [429] * 20
    await asyncio.sleep(0.2)
    assert len(scoring.lists) <= 1
