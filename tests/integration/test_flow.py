"""From a submission to its score and its outcome: each once, whatever comes twice, late or in another order."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from services.scoring import app as scoring_app
from shared import outbox, topology
from shared.contracts.fixes import FixCategorized, OutcomeReported
from shared.ids import new_id
from shared.outbox import Outbox
from tests.bus import said, say, submitted, unfinished
from tests.diffs import fix
from tests.world import World, eventually

NOW = datetime.now(UTC)
ROW = "select * from scoring.agent_auto_fixes where id = $1"


async def stored(world: World, fix_id: UUID, **fields: Any) -> Any:
    """The row, once it has these values."""

    async def check() -> Any:
        row = await world.owner.fetchrow(ROW, fix_id)
        return row if row and all(row[name] == value for name, value in fields.items()) else None

    return await eventually(check)


async def counted(world: World) -> tuple[int, int]:
    """(changes, failures) of the repository; author, agent and file say the same, and so do areas and directories."""
    tables = {
        "repository_history": "",
        "author_history": "where role = 'author' and actor not like E'%\t%'",
        "author_history ": "where role = 'author' and actor like E'%\t%/'",
        "file_history": "where path not like '%/'",
        "file_history ": "where path like '%/'",
    }
    counts = {
        tuple(await world.owner.fetchrow(f"select sum(changes)::int, sum(failures)::int from scoring.{table} {where}"))
        for table, where in tables.items()
    }
    assert len(counts) == 1, counts
    changes, failures = counts.pop()
    return changes or 0, failures or 0


async def quiet(world: World, *durables: str) -> None:
    async def check() -> bool:
        return [await unfinished(world, d) for d in durables] == [(0, 0)] * len(durables)

    await eventually(check)


async def scored_events(world: World) -> list[dict[str, Any]]:
    return [json.loads(m.data) for m in await said(world, "FIXES", "fixes.scored.v1")]


def outcome(fix_id: UUID, kind: str, reporter: str = "ci", **fields: Any) -> OutcomeReported:
    plain: dict[str, Any] = {"outcome_id": new_id(), "fix_id": fix_id, "reporter": reporter, "kind": kind}
    plain |= {"observed_at": datetime.now(UTC), "reported_at": datetime.now(UTC)}
    return OutcomeReported(**plain | fields)


async def test_a_crash_between_commit_and_publish_is_made_good_by_the_relay(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "LEFT_BEHIND_SECONDS", 1)
    monkeypatch.setattr(outbox, "RELAY_SECONDS", 0.1)
    committed = asyncio.Event()

    async def dies(self: Outbox, envelopes: Any) -> None:
        committed.set()
        raise asyncio.CancelledError

    with monkeypatch.context() as patched:
        patched.setattr(Outbox, "publish", dies)
        async with world.worker("scoring", drain_seconds=0.2):
            fix = submitted()
            await say(world, fix)
            await asyncio.wait_for(committed.wait(), 5)
            await stored(world, fix.id, status="scored")
    assert await scored_events(world) == []
    await world.start("scoring")

    async def published() -> bool:
        return [e["id"] for e in await scored_events(world)] == [str(fix.id)]

    await eventually(published)
    assert await counted(world) == (1, 0)

    async def forgotten() -> bool:
        return not await world.owner.fetchval("select count(*) from scoring.outbox")

    await eventually(forgotten)


async def test_a_message_that_comes_again_changes_nothing(world: World) -> None:
    await world.start("scoring")
    fix = submitted()
    await say(world, fix)
    before = await stored(world, fix.id, status="scored")
    for _ in range(3):
        await say(world, fix, headers={"Nats-Msg-Id": str(uuid4())})
    await quiet(world, "scoring_fixes_submitted_v1")
    assert str(await world.owner.fetchrow(ROW, fix.id)) == str(before)  # a feature may be NaN
    assert await counted(world) == (1, 0)
    assert len(await scored_events(world)) == 1


async def test_the_same_submission_twice_is_one_fix_scored_once(world: World) -> None:
    await world.start("scoring", "scoring", "patterns")
    api = await world.gateway()
    answers = await asyncio.gather(*(api.post("/v1/fixes", fix(external_id="one")) for _ in range(20)))
    assert {a.status_code for a in answers} <= {200, 202}
    (identity,) = {UUID(a.json()["id"]) for a in answers}
    await stored(world, identity, status="scored")
    await quiet(world, "scoring_fixes_submitted_v1", "patterns_fixes_submitted_v1", "scoring_fixes_categorized_v1")
    assert await world.owner.fetchval("select count(*) from scoring.agent_auto_fixes") == 1
    assert await counted(world) == (1, 0)
    assert len(await scored_events(world)) == 1
    assert len(await said(world, "FIXES", "fixes.categorized.v1")) == 1


async def test_two_replicas_share_the_work_and_repeat_none_of_it(world: World) -> None:
    await world.start("scoring", "scoring")
    fixes = [submitted() for _ in range(200)]
    await asyncio.gather(*(say(world, fix) for fix in fixes))
    await quiet(world, "scoring_fixes_submitted_v1")
    assert await world.owner.fetchval("select count(*) from scoring.agent_auto_fixes where status = 'scored'") == 200
    assert await counted(world) == (200, 0)
    assert len(await scored_events(world)) == 200


@pytest.mark.parametrize("first", ["submitted", "categorized"])
async def test_category_and_score_make_the_same_row_in_either_order(world: World, first: str) -> None:
    await world.start("scoring")
    fix, pattern = submitted(), uuid4()
    heard = FixCategorized(
        id=fix.id, agent_id="claude", repository="acme/shop", category="bug-fix", category_confidence=0.75,
        pattern_id=pattern,
    )  # fmt: skip
    for event in (fix, heard) if first == "submitted" else (heard, fix):
        await say(world, event)
        await quiet(world, "scoring_fixes_submitted_v1", "scoring_fixes_categorized_v1")
    row = await world.owner.fetchrow(ROW, fix.id)
    assert row is not None
    assert (row["status"], row["agent_id"], row["principal"]) == ("scored", "claude", "owner")
    assert (row["category"], row["category_confidence"], row["pattern_id"]) == ("bug-fix", 0.75, pattern)
    assert row["confidence"] is not None


async def test_an_outcome_that_comes_before_its_fix_waits_for_it(world: World) -> None:
    await world.start("scoring")
    fix = submitted(submitted_at=NOW - timedelta(days=1))
    await say(world, outcome(fix.id, "reverted"))

    async def waits() -> bool:
        return bool(await world.owner.fetchval("select state from scoring.fix_outcomes") == "pending")

    await eventually(waits)
    assert await said(world, "FIXES", "fixes.outcome_recorded.v1") == []
    await say(world, fix)
    await stored(world, fix.id, status="failed")
    assert await counted(world) == (1, 1)
    (event,) = await said(world, "FIXES", "fixes.outcome_recorded.v1")
    assert (json.loads(event.data)["accepted"], json.loads(event.data)["status"]) == (True, "failed")


async def test_an_outcome_that_missed_its_fix_by_a_moment_is_found(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring_app, "REFRESH_SECONDS", 0.1)
    await world.start("scoring")
    fix = submitted(submitted_at=NOW - timedelta(days=1))
    await say(world, fix)
    await stored(world, fix.id, status="scored")
    await world.owner.execute(
        "insert into scoring.fix_outcomes (outcome_id, fix_id, reporter, kind, observed_at, reported_at, state) "
        "values ($1, $2, 'ci', 'reverted', now(), now(), 'pending')",
        uuid4(),
        fix.id,
    )
    await stored(world, fix.id, status="failed")
    assert await counted(world) == (1, 1)


async def test_an_outcome_heard_twice_counts_once(world: World) -> None:
    await world.start("scoring")
    fix = submitted(submitted_at=NOW - timedelta(days=1))
    failed = outcome(fix.id, "fixed_again")
    await say(world, fix)
    await stored(world, fix.id, status="scored")
    for _ in range(3):
        await say(world, failed, headers={"Nats-Msg-Id": str(uuid4()), "ce-id": str(uuid4())})
    await stored(world, fix.id, status="failed")
    await quiet(world, "scoring_fixes_outcome_reported_v1")
    assert await counted(world) == (1, 1)
    assert len(await said(world, "FIXES", "fixes.outcome_recorded.v1")) == 1


async def test_a_failure_that_was_seen_outweighs_another_reporters_praise(world: World) -> None:
    await world.start("scoring")
    fix = submitted(submitted_at=NOW - timedelta(days=1))
    await say(world, fix)
    await stored(world, fix.id, status="scored")
    await say(world, outcome(fix.id, "reverted", "ci"), outcome(fix.id, "held", "people"))
    await quiet(world, "scoring_fixes_submitted_v1", "scoring_fixes_outcome_reported_v1")
    await stored(world, fix.id, status="failed")
    kinds = await world.owner.fetch("select kind, effective from scoring.fix_outcomes order by kind")
    assert [tuple(row) for row in kinds] == [("held", False), ("reverted", True)]
    assert await counted(world) == (1, 1)


async def test_the_latest_word_of_a_reporter_counts_and_a_withdrawn_failure_is_taken_back(world: World) -> None:
    await world.start("scoring")
    fix = submitted(submitted_at=NOW - timedelta(days=1))
    await say(world, fix)
    await stored(world, fix.id, status="scored")
    for kind, status, failures in [("reverted", "failed", 1), ("held", "succeeded", 0), ("fixed_again", "failed", 1)]:
        await say(world, outcome(fix.id, kind))
        await stored(world, fix.id, status=status)
        assert await counted(world) == (1, failures)
    assert await world.owner.fetchval("select count(*) from scoring.fix_outcomes") == 3


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"reporter": "owner"}, "self_report"),
        ({"observed_at": NOW - timedelta(days=2)}, "observed_at"),
    ],
)
async def test_a_report_that_cannot_be_trusted_is_refused_and_says_why(
    world: World, fields: dict[str, Any], reason: str
) -> None:
    await world.start("scoring")
    fix = submitted(submitted_at=NOW - timedelta(days=1))
    await say(world, fix)
    await stored(world, fix.id, status="scored")
    await say(world, outcome(fix.id, "reverted", **fields))
    await quiet(world, "scoring_fixes_submitted_v1", "scoring_fixes_outcome_reported_v1")
    row = await world.owner.fetchrow("select state, refused_reason from scoring.fix_outcomes")
    assert row is not None
    assert row["state"] == "refused"
    assert row["refused_reason"].startswith(f"{reason}: ")
    await stored(world, fix.id, status="scored")
    assert await counted(world) == (1, 0)
    (event,) = await said(world, "FIXES", "fixes.outcome_recorded.v1")
    assert json.loads(event.data)["accepted"] is False


async def test_the_trace_of_each_request_reaches_the_events_of_its_own_fix(world: World) -> None:
    api = await world.gateway()
    traces = {}
    for _ in range(3):
        trace_id = uuid4().hex
        headers = {"traceparent": f"00-{trace_id}-{uuid4().hex[:16]}-01"}
        traces[(await api.post("/v1/fixes", fix(), headers=headers)).json()["id"]] = trace_id
    await world.start("scoring", "patterns")  # all three are fetched at once, and two of them are written as one group
    for i in traces:
        await stored(world, UUID(i), status="scored")
        await say(world, outcome(UUID(i), "held"), headers={"traceparent": f"00-{traces[i]}-{uuid4().hex[:16]}-01"})
        await stored(world, UUID(i), status="succeeded")
    await quiet(world, "scoring_fixes_submitted_v1", "patterns_fixes_submitted_v1", "scoring_fixes_outcome_reported_v1")
    subjects = ("fixes.submitted.v1", "fixes.scored.v1", "fixes.categorized.v1", "fixes.outcome_recorded.v1")
    for subject in subjects:
        events = await said(world, "FIXES", subject)
        # A pattern that forms later is said of those in it once more, and not for their requests.
        first = {e.headers["ce-subject"]: e for e in reversed(events)}
        found = {fix_id: e.headers.get("traceparent", "-none").split("-")[1] for fix_id, e in first.items()}
        assert found == traces, subject


async def test_a_full_log_refuses_new_fixes_and_keeps_the_old(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "LEFT_BEHIND_SECONDS", 1)
    api = await world.gateway()
    js = world.nats.jetstream()
    await topology.declare(js, 64_000)
    body = fix(title="x" * 200)
    accepted = []
    for _ in range(200):
        answer = await api.post("/v1/fixes", body)
        if answer.status_code != 202:
            break
        accepted.append(answer.json()["id"])
    assert (answer.status_code, answer.json()["code"]) == (503, "log_full")
    assert int(answer.headers["retry-after"]) > 0
    assert [json.loads(m.data)["id"] for m in await said(world, "FIXES")] == accepted
    await world.start("scoring")
    for i in accepted:
        await stored(world, UUID(i), status="scored")
    await topology.declare(js, 64 << 20)
    await eventually_scored(world, accepted)
    assert (await api.post("/v1/fixes", body)).status_code == 202


async def eventually_scored(world: World, ids: list[str]) -> None:
    async def check() -> bool:
        return sorted(e["id"] for e in await scored_events(world)) == sorted(ids)

    await eventually(check, 20)
