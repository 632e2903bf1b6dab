"""`precedent dead` on a real log: what it lists, what it sends again, and what it says when there is nothing."""

import asyncio
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner, Result
from nats.js.errors import NotFoundError

from cli.main import main
from shared import dead_letters
from shared.contracts.envelope import seal
from shared.contracts.fixes import FixSubmitted
from tests.bus import said, submitted
from tests.world import World


async def dead(world: World, *arguments: str, fails: bool = False) -> str:
    env = {"PRECEDENT_NATS_URL": world.servers.nats_url}
    result: Result = await asyncio.to_thread(CliRunner().invoke, main, ["dead", *arguments], env=env)
    assert (result.exit_code != 0) == fails, result.output
    return result.output.strip()


async def given_up(world: World, event: FixSubmitted, reason: str) -> int:
    """As scoring puts it into DEAD; its number there."""
    envelope = seal(event, source="gateway", now=datetime.now(UTC))
    headers = envelope.headers | {"precedent-reason": reason}
    subject = f"dead.scoring.{envelope.subject}"
    return (await world.nats.jetstream().publish(subject, envelope.payload, headers=headers)).seq


async def test_a_list_tells_number_service_subject_entity_and_reason_the_newest_first(world: World) -> None:
    assert await dead(world, "list") == "nothing was given up"
    letters = [submitted() for _ in range(3)]
    numbers = [await given_up(world, letter, f"reason {n}") for n, letter in enumerate(letters)]
    lines = (await dead(world, "list")).splitlines()
    expected = [f"{numbers[n]}  scoring  fixes.submitted.v1  {letters[n].id}  reason {n}" for n in (2, 1, 0)]
    assert lines == expected
    assert (await dead(world, "list", "--limit", "1")).splitlines() == expected[:1]


async def test_a_list_reaches_over_what_was_taken_out(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead_letters, "AT_ONCE", 2)
    monkeypatch.setattr(dead_letters, "MOST_LOOKS", 3)
    first = await given_up(world, submitted(), "the oldest")
    js = world.nats.jetstream()
    gap = [await given_up(world, submitted(), "gone") for _ in range(10)]
    newest = await given_up(world, submitted(), "the newest")
    for number in gap:
        await js.delete_msg("DEAD", number)
    assert [int(line.split()[0]) for line in (await dead(world, "list")).splitlines()] == [newest, first]


async def test_what_is_replayed_is_worked_on_and_no_longer_dead(world: World) -> None:
    events = [submitted() for _ in range(2)]
    numbers = [await given_up(world, event, "no luck") for event in events]
    told = await dead(world, "replay", *map(str, numbers))
    assert told.splitlines() == [f"{number} went to fixes.submitted.v1" for number in numbers]
    assert await dead(world, "list") == "nothing was given up"
    sent = await said(world, "FIXES", "fixes.submitted.v1")
    assert [message.header["ce-id"] for message in sent] == [str(event.event_id()) for event in events]
    assert all("precedent-reason" not in message.header for message in sent)
    await world.start("scoring")
    api = await world.gateway()
    for event in events:
        await api.until(f"/v1/fixes/{event.id}", "status", "scored")


async def test_a_letter_that_is_not_there_is_named_and_what_came_before_it_was_sent(world: World) -> None:
    number = await given_up(world, submitted(), "no luck")
    told = await dead(world, "replay", str(number), "999", fails=True)
    assert "there is no letter 999" in told
    assert len(await said(world, "FIXES", "fixes.submitted.v1")) == 1
    with pytest.raises(NotFoundError):
        await world.nats.jetstream().get_msg("DEAD", number)
