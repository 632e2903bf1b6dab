"""What becomes of a message whose handler fails."""

import json
import time
from typing import Any
from uuid import uuid4

import pytest

from services.scoring.handlers import Handlers
from services.scoring.store import Store
from shared import delivery
from shared.dead_letters import replay
from tests.bus import said, say, submitted, unfinished
from tests.world import World, eventually

SUBMITTED = "fixes.submitted.v1"
SCORING = "scoring_fixes_submitted_v1"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a second in all instead of half a minute; the growth stays."""
    monkeypatch.setattr(delivery, "TRIES", 3)
    monkeypatch.setattr(delivery, "delay_seconds", lambda delivered: 0.1 * 2**delivered)


@pytest.fixture
async def scoring(world: World) -> World:
    await world.start("scoring")
    return world


async def dead(world: World, count: int = 1) -> list[Any]:
    async def check() -> list[Any] | None:
        letters = await said(world, "DEAD")
        return letters if len(letters) >= count else None

    found: list[Any] = await eventually(check)
    return found


async def scored(world: World, *ids: Any) -> None:
    async def check() -> bool:
        sql = "select count(*) from scoring.agent_auto_fixes where status = 'scored' and id = any($1::uuid[])"
        return bool(await world.owner.fetchval(sql, ids) == len(ids))

    await eventually(check)


async def status_of(world: World, fix_id: Any) -> tuple[str, str | None]:
    row = await world.owner.fetchrow("select status, status_reason from scoring.agent_auto_fixes where id = $1", fix_id)
    assert row is not None
    return row["status"], row["status_reason"]


async def nothing_left(world: World) -> None:
    async def check() -> bool:
        return await unfinished(world, SCORING) == (0, 0)

    await eventually(check)


async def test_a_handler_that_raises_is_tried_again_later_and_later_and_then_given_up(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good, tries = submitted(title="bad"), submitted(title="good"), []
    score = Handlers.submitted

    async def fails_on_bad(self: Handlers, fix: Any, message: Any) -> None:
        if fix.id == bad.id:
            tries.append(time.monotonic())
            raise RuntimeError("no luck with this one")
        await score(self, fix, message)

    monkeypatch.setattr(Handlers, "submitted", fails_on_bad)
    await world.start("scoring")
    await say(world, bad, good)
    (letter,) = await dead(world)
    assert letter.subject == f"dead.scoring.{SUBMITTED}"
    assert letter.headers["precedent-reason"] == "RuntimeError: no luck with this one"
    assert json.loads(letter.data)["id"] == str(bad.id)
    assert len(tries) == 3
    # At least: a busy machine adds to both.
    assert tries[1] - tries[0] >= 0.2
    assert tries[2] - tries[1] >= 0.4
    assert await status_of(world, bad.id) == ("rejected", "RuntimeError: no luck with this one")
    await scored(world, good.id)
    await nothing_left(world)
    rejected = [json.loads(m.data) for m in await said(world, "FIXES", "fixes.scored.v1")]
    assert {r["id"]: r["status"] for r in rejected} == {str(bad.id): "rejected", str(good.id): "scored"}


async def test_a_handler_that_recovers_loses_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    fix, failures = submitted(), iter([True, True, False])
    score = Handlers.score_group

    async def fails_twice(self: Handlers, heard: Any) -> Any:
        if next(failures):
            raise RuntimeError("not now")
        return await score(self, heard)

    monkeypatch.setattr(Handlers, "score_group", fails_twice)
    await world.start("scoring")
    await say(world, fix)
    await scored(world, fix.id)
    await nothing_left(world)
    assert await said(world, "DEAD") == []


NONSENSE = {
    "not JSON": b"\x00\xff{",
    "another shape": b'{"id": 7}',
    "nothing": b"",
}


@pytest.mark.parametrize("payload", NONSENSE.values(), ids=NONSENSE)
async def test_what_nobody_can_read_goes_to_dead_at_once_and_touches_no_other(scoring: World, payload: bytes) -> None:
    neighbours = [submitted() for _ in range(5)]
    named = uuid4()
    await say(scoring, *neighbours[:2])
    await scoring.nats.jetstream().publish(SUBMITTED, payload, headers={"ce-subject": str(named)})
    await say(scoring, *neighbours[2:])
    (letter,) = await dead(scoring)
    assert letter.data == payload
    assert letter.headers["precedent-reason"]
    assert (await status_of(scoring, named))[0] == "rejected"
    await scored(scoring, *(n.id for n in neighbours))
    await nothing_left(scoring)


async def test_what_is_replayed_at_once_and_fails_again_is_dead_again(scoring: World) -> None:
    js = scoring.nats.jetstream()
    await js.publish(SUBMITTED, b"{}", headers={"ce-id": str(uuid4())})
    (letter,) = await dead(scoring)
    assert await replay(js, letter.metadata.sequence.stream) is not None
    (again,) = await dead(scoring)
    assert again.headers["ce-id"] == letter.headers["ce-id"]
    await nothing_left(scoring)


async def test_a_letter_that_is_sent_twice_is_one(scoring: World) -> None:
    js = scoring.nats.jetstream()
    await js.publish(SUBMITTED, b"{}")
    (letter,) = await dead(scoring)
    assert (await js.publish(letter.subject, letter.data, headers=letter.headers)).duplicate


@pytest.mark.parametrize("subject", [None, "no id at all"])
async def test_what_names_no_fix_goes_to_dead_all_the_same(scoring: World, subject: str | None) -> None:
    await scoring.nats.jetstream().publish(SUBMITTED, b"{}", headers={"ce-subject": subject} if subject else None)
    (letter,) = await dead(scoring)
    assert letter.data == b"{}"
    await nothing_left(scoring)
    assert await scoring.owner.fetchval("select count(*) from scoring.agent_auto_fixes") == 0


async def test_a_row_that_postgres_refuses_rejects_itself_alone(scoring: World) -> None:
    poison = submitted(title="with a \0 in it", author="\0")
    neighbours = [submitted() for _ in range(5)]
    await say(scoring, *neighbours[:2], poison, *neighbours[2:])
    (letter,) = await dead(scoring)
    assert r"\u0000" in letter.headers["precedent-reason"]
    status, reason = await status_of(scoring, poison.id)
    assert status == "rejected"
    assert r"\u0000" in str(reason)
    await scored(scoring, *(n.id for n in neighbours))
    await nothing_left(scoring)


async def test_a_diff_that_is_none_is_rejected_with_the_reason(scoring: World) -> None:
    fix = submitted(diff="hello")
    await say(scoring, fix)
    await dead(scoring)
    status, reason = await status_of(scoring, fix.id)
    assert status == "rejected"
    assert str(reason).startswith("diff: ")


async def test_a_fix_that_was_scored_is_never_called_rejected(scoring: World, monkeypatch: pytest.MonkeyPatch) -> None:
    fix = submitted()
    await say(scoring, fix)
    await scored(scoring, fix.id)

    async def fails(*_: Any) -> None:
        raise RuntimeError("after the fact")

    monkeypatch.setattr(Store, "pasts", fails)
    await say(scoring, fix, headers={"Nats-Msg-Id": str(uuid4())})
    await dead(scoring)
    assert await status_of(scoring, fix.id) == ("scored", None)
    statuses = [json.loads(m.data)["status"] for m in await said(scoring, "FIXES", "fixes.scored.v1")]
    assert statuses == ["scored"]
