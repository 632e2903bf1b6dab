"""What operators see of the work, and what they do about letters that were given up."""

from datetime import UTC, datetime
from typing import Any

import pytest

from shared import dead_letters
from shared.contracts.envelope import seal
from shared.contracts.fixes import FixSubmitted
from shared.topology import STREAMS, WORK
from tests.bus import said, say, submitted
from tests.world import Api, World, eventually


@pytest.fixture
async def api(world: World) -> Api:
    return await world.gateway()


async def given_up(world: World, event: FixSubmitted, reason: str = "no luck") -> int:
    """As scoring would put it into DEAD; its number there."""
    envelope = seal(event, source="gateway", now=datetime.now(UTC))
    headers = envelope.headers | {"precedent-reason": reason}
    published = await world.nats.jetstream().publish(
        f"dead.scoring.{envelope.subject}", envelope.payload, headers=headers
    )
    return published.seq


async def test_operations_tell_of_every_stream_and_every_consumer_and_what_waits_there(api: Api) -> None:
    await say(api.world, submitted(), submitted())
    await given_up(api.world, submitted())
    seen = (await api.get("/v1/operations")).json()
    assert {s["name"]: s["messages"] for s in seen["streams"]} == {s.name: 0 for s in STREAMS} | {"FIXES": 2, "DEAD": 1}
    assert all(s["max_bytes"] > s["bytes"] >= 0 for s in seen["streams"])
    lags = {c["consumer"]: c["lag"] for c in seen["consumers"]}
    waits = {"scoring_fixes_submitted_v1": 2, "patterns_fixes_submitted_v1": 2}
    assert lags == {w.durable: 0 for w in WORK} | waits
    assert seen["dead_letters"] == 1
    assert seen["checks"] == {"nats": "ok", "postgres": "ok", "redis": "ok"}
    assert seen["pool"]["idle"] + seen["pool"]["used"] > 0
    assert seen["flags"]["cache"] is True
    await api.world.start("scoring")

    async def done() -> bool:
        consumers = (await api.get("/v1/operations")).json()["consumers"]
        return next(c["lag"] + c["in_hand"] for c in consumers if c["consumer"] == "scoring_fixes_submitted_v1") == 0

    await eventually(done)


async def test_a_dead_letter_is_listed_with_its_reason_and_without_its_content(api: Api) -> None:
    assert (await api.get("/v1/dead-letters")).json() == {"items": [], "next_cursor": None}
    await api.world.start("scoring")
    await api.world.nats.jetstream().publish("fixes.submitted.v1", b'{"title": "not for operators"}')

    async def listed() -> Any:
        return (await api.get("/v1/dead-letters")).json()["items"]

    [letter] = await eventually(listed)
    assert (letter["service"], letter["subject"]) == ("scoring", "fixes.submitted.v1")
    assert "missing required field" in letter["reason"]
    assert letter["dead_at"]
    assert letter["bytes"] > 0
    assert "not for operators" not in str(letter)


async def test_a_letter_that_is_sent_again_is_worked_on_and_gone(api: Api) -> None:
    event = submitted()
    number = await given_up(api.world, event)
    [letter] = (await api.get("/v1/dead-letters")).json()["items"]
    assert (letter["id"], letter["entity_id"], letter["reason"]) == (number, str(event.id), "no luck")
    await api.world.start("scoring")
    answer = await api.post(f"/v1/dead-letters/{number}/replay")
    assert (answer.status_code, answer.json()["subject"]) == (202, "fixes.submitted.v1")
    await api.until(f"/v1/fixes/{event.id}", "status", "scored")
    assert (await api.get("/v1/dead-letters")).json() == {"items": [], "next_cursor": None}
    assert (await api.post(f"/v1/dead-letters/{number}/replay")).status_code == 404
    assert len(await said(api.world, "FIXES", "fixes.submitted.v1")) == 1


async def test_pages_go_from_the_newest_to_the_oldest_over_gaps_of_any_width(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_letters, "AT_ONCE", 2)
    monkeypatch.setattr(dead_letters, "MOST_LOOKS", 3)
    numbers = [await given_up(api.world, submitted()) for _ in range(16)]
    gone = {numbers[0], numbers[5], *numbers[7:13], numbers[15]}
    for number in gone:
        await api.world.nats.jetstream().delete_msg("DEAD", number)
    found, path, pages = [], "/v1/dead-letters?limit=3", 0
    while path and pages < 20:
        answer = await api.get(path)
        found += [letter["id"] for letter in answer.json()["items"]]
        assert len(answer.json()["items"]) <= 3
        path = answer.links["next"]["url"] if "next" in answer.links else ""
        pages += 1
    assert found == sorted(set(numbers) - gone, reverse=True)
    assert answer.json()["next_cursor"] is None
