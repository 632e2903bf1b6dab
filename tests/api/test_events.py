"""Server-sent events: what is told, to whom, and that a client who comes back has missed nothing."""

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from services.gateway import events, readers
from services.gateway.events import HEARD, TYPES, Feed, parse_id
from services.gateway.problems import ApiError
from shared.contracts.envelope import seal
from shared.contracts.fixes import FixCategorized, FixScored, OutcomeRecorded
from shared.contracts.knowledge import LearningChanged
from shared.contracts.models import ModelPromoted
from shared.ids import new_id
from tests.bus import say
from tests.diffs import fix
from tests.sse import listening, reading
from tests.world import Api, World, eventually

SECRET = "only for those who ask"


def scored(agent_id: str = "claude", repository: str = "acme/shop", **more: Any) -> FixScored:
    plain: dict[str, Any] = {"id": new_id(), "status": "scored", "scored_at": datetime.now(UTC), "confidence": 0.7}
    return FixScored(agent_id=agent_id, repository=repository, **plain | more)


def learning(version: int = 1) -> LearningChanged:
    return LearningChanged(id=new_id(), version=version)


@pytest.fixture
async def api(world: World) -> Api:
    return await reading(await world.gateway())


async def test_a_fix_is_told_with_ids_and_numbers_as_it_is_judged(api: Api) -> None:
    await api.world.start("scoring", "patterns")
    async with listening(api) as listener:
        assert listener.answer.headers["content-type"].startswith("text/event-stream")
        identity = (await api.post("/v1/fixes", fix(title=SECRET))).json()["id"]
        heard = {event.event: event.data for event in await listener.hear_many(2)}
    assert set(heard) == {"fixes.scored", "fixes.categorized"}
    assert {data["id"] for data in heard.values()} == {identity}
    assert 0 < heard["fixes.scored"]["confidence"] < 1
    assert SECRET not in str(heard)
    assert "diff" not in str(heard)


async def test_what_somebody_wrote_is_not_told(api: Api) -> None:
    refused = OutcomeRecorded(
        outcome_id=new_id(), fix_id=new_id(), kind="held", observed_at=datetime.now(UTC), accepted=False,
        refused_reason=SECRET,
    )  # fmt: skip
    async with listening(api) as listener:
        await say(api.world, scored(status="rejected", status_reason=SECRET), refused)
        heard = await listener.hear_many(2)
    assert SECRET not in str(heard)
    assert (heard[0].data["status"], heard[1].data["accepted"]) == ("rejected", False)


@pytest.mark.parametrize("stream", HEARD)
async def test_every_type_of_every_stream_is_known_by_its_subject_without_the_version(stream: str) -> None:
    assert {events.type_of(cls) for cls in HEARD[stream]} <= set(TYPES)
    assert all(f"{events.type_of(cls)}.v1" == cls.SUBJECT for cls in HEARD[stream])


async def test_filters_choose_by_type_agent_repository_and_fix(api: Api) -> None:
    one, two = scored("claude", "acme/shop"), scored("codex", "acme/till")
    about = FixCategorized(id=one.id, agent_id="claude", repository="acme/shop", category="bug-fix")
    outcome = OutcomeRecorded(
        outcome_id=new_id(), fix_id=one.id, kind="held", observed_at=datetime.now(UTC), accepted=True,
        agent_id="claude", repository="acme/shop",
    )  # fmt: skip
    filters: list[tuple[dict[str, Any], list[str]]] = [
        ({}, ["fixes.scored", "fixes.scored", "fixes.categorized", "fixes.outcome_recorded", "learnings.changed"]),
        ({"type": "fixes.categorized,learnings.changed"}, ["fixes.categorized", "learnings.changed"]),
        ({"agent_id": "codex"}, ["fixes.scored"]),
        ({"repository": "acme/shop"}, ["fixes.scored", "fixes.categorized", "fixes.outcome_recorded"]),
        ({"fix_id": str(one.id), "type": "fixes.scored,fixes.outcome_recorded"},
         ["fixes.scored", "fixes.outcome_recorded"]),
    ]  # fmt: skip
    async with listening(api) as everything:
        begin = everything.last_id
        await say(api.world, one, two, about, outcome)
        await everything.hear_many(4)
        await say(api.world, learning())
        await everything.hear_many(1)
    for chosen, told in filters:
        async with listening(api, begin, **chosen) as listener:
            assert [event.event for event in await listener.hear_many(len(told))] == told


async def test_an_unknown_type_and_a_made_up_id_are_refused(api: Api) -> None:
    for query, field in (("type=fixes", "type"), ("last_event_id=yesterday", "Last-Event-ID"), ("fix_id=7", "fix_id")):
        answer = await api.get(f"/v1/events?{query}")
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, field)


def test_an_id_that_knows_fewer_streams_hears_the_new_one_from_now_on() -> None:
    assert parse_id("4.2", (9, 9, 9)) == (4, 2, 9)
    assert parse_id("4.2.1.8", (9, 9, 9)) == (4, 2, 1)
    with pytest.raises(ApiError):
        parse_id("4.-2", (9, 9, 9))


async def test_a_client_that_was_cut_off_resumes_on_another_gateway_over_all_streams_without_a_gap(api: Api) -> None:
    other = await reading(await api.world.gateway())
    said_: list[UUID] = []

    async def talk(count: int) -> None:
        for n in range(count):
            fix_, known = scored(), learning(n + 1)
            await say(api.world, fix_, known)
            said_.extend((fix_.id, known.id))

    heard: list[str] = []
    async with listening(api) as listener:
        last = listener.last_id
        await talk(5)
        heard += [event.data["id"] for event in await listener.hear_many(7)]
        last = listener.last_id
    await talk(5)
    for gateway in (other, api):
        async with listening(gateway, last) as listener:
            await talk(2)
            rest = await listener.hear_many(len(said_) - len(heard))
            heard += [event.data["id"] for event in rest]
            last = listener.last_id
    assert sorted(heard) == sorted(map(str, said_))


async def test_a_new_gateway_tells_what_happened_before_it_was_there(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """From what it looked back at, and from the log where that is not far enough."""
    async with listening(api) as listener:
        begin = listener.last_id
    told = [scored() for _ in range(30)]
    await say(api.world, *told, learning(), ModelPromoted(promotion_id=1, version="c-1", kind="confidence", sha256="0"))
    for look_back in (1_000, 3):
        monkeypatch.setattr(readers, "LOOK_BACK_MESSAGES", look_back)
        gateway = await reading(await api.world.gateway())
        async with listening(gateway, begin) as listener:
            heard = await listener.hear_many(32)
            assert [e.data["id"] for e in heard if e.event == "fixes.scored"] == [str(e.id) for e in told]
            assert {e.event for e in heard} == {"fixes.scored", "learnings.changed", "models.promoted"}
        async with listening(gateway, heard[20].id) as listener:
            assert [e.data for e in await listener.hear_many(11)] == [e.data for e in heard[21:]]


async def test_what_is_no_event_is_told_to_nobody_and_stops_nobody(api: Api) -> None:
    async with listening(api) as listener:
        await api.world.nats.jetstream().publish("fixes.scored.v1", b'{"id": 1}')
        after = scored()
        await say(api.world, after)
        assert (await listener.hear()).data["id"] == str(after.id)


async def test_a_client_ahead_of_a_log_that_began_anew_hears_all_of_it(api: Api) -> None:
    first = scored()
    await say(api.world, first)
    async with listening(api, "999999.0.0") as listener:
        assert (await listener.hear()).data["id"] == str(first.id)


async def test_a_silent_stream_is_kept_alive_and_its_heartbeat_carries_the_place(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers, "HEARTBEAT_SECONDS", 0.2)
    async with listening(api, agent_id="nobody") as listener:
        begin = listener.last_id
        await say(api.world, scored())

        async def moved() -> bool:
            await listener.block()
            return listener.last_id != begin

        await eventually(moved)


async def test_a_revoked_key_ends_its_streams_and_no_other(api: Api) -> None:
    async with listening(api, as_="leaver") as leaver, listening(api, as_="stayer") as stayer:
        await api.world.owner.execute("update control.api_keys set revoked_at = now() where principal = 'leaver'")
        assert await leaver.ended()
        after = scored()
        await say(api.world, after)
        assert (await stayer.hear()).data["id"] == str(after.id)


def test_a_feed_lets_the_oldest_go_and_knows_what_it_still_has() -> None:
    feed = Feed(most=4)
    feed.wake = lambda: None  # type: ignore[method-assign]

    async def fill() -> None:
        feed.open((0, 0, 0))
        for sequence in range(1, 21):
            event = scored()
            feed.add(0, sequence, event.SUBJECT, seal(event, source="test", now=datetime.now(UTC)).payload)

    asyncio.run(fill())
    place = feed.place_of((18, 0, 0))
    assert feed.holds(place)
    assert [frame.sequence for frame in feed.since(place, 10)] == [19, 20]
    assert feed.floor[0] >= 12
    assert not feed.holds(3)


def test_an_event_that_cannot_be_read_is_told_to_nobody_and_holds_up_none() -> None:
    feed, event = Feed(), scored()
    feed.open((0, 0, 0))
    feed.add(0, 1, event.SUBJECT, b"{}")
    feed.add(0, 2, event.SUBJECT, seal(event, source="test", now=datetime.now(UTC)).payload)
    assert [(frame.position, bool(frame.wire)) for frame in feed.since(0, 10)] == [
        ((1, 0, 0), False),
        ((2, 0, 0), True),
    ]
    assert feed.head == (2, 0, 0)
