"""`POST /v1/fixes/bulk`: an import, line by line."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.ids import fix_id
from tests.diffs import diff, fix
from tests.world import Api, World, eventually

START = datetime(2025, 1, 1, tzinfo=UTC)


@pytest.fixture
async def api(world: World) -> Api:
    await world.start("scoring", "patterns")
    return await world.gateway()


def line(number: int, kind: str | None = None, **fields: Any) -> dict[str, Any]:
    at = START + timedelta(days=number)
    body = fix(**{"external_id": f"c{number}", "submitted_at": at.isoformat(), "author": "Ada"} | fields)
    if kind:
        body["outcome"] = {"kind": kind, "observed_at": (at + timedelta(hours=12)).isoformat()}
    return body


async def send(api: Api, lines: Sequence[dict[str, Any] | bytes]) -> list[dict[str, Any]]:
    content = b"\n".join(entry if isinstance(entry, bytes) else json.dumps(entry).encode() for entry in lines)
    answer = await api.call("POST", "/v1/fixes/bulk", content=content, headers={"content-type": "application/x-ndjson"})
    assert answer.status_code == 200, answer.text
    return [json.loads(text) for text in answer.text.splitlines()]


async def settled(api: Api, count: int) -> None:
    async def check() -> bool:
        done = await api.world.owner.fetchval(
            "select count(*) from scoring.agent_auto_fixes where scored_at is not null"
        )
        assert done == count, done
        return True

    await eventually(check)


async def test_an_import_is_scored_in_time_order_with_its_outcomes(api: Api) -> None:
    answers = await send(api, [line(i, "fixed_again" if i % 2 else "held") for i in range(10)] + [line(10)])
    assert [a["status"] for a in answers] == ["accepted"] * 11
    assert [a["line"] for a in answers] == list(range(1, 12))
    await settled(api, 11)
    rows = await api.world.owner.fetch("select status, evidence from scoring.agent_auto_fixes order by submitted_at")
    assert [r["status"] for r in rows] == ["succeeded", "failed"] * 5 + ["scored"]
    assert [r["evidence"] for r in rows] == list(range(11))
    failures = await api.world.owner.fetchval("select sum(failures) from scoring.repository_history")
    assert failures == 5


async def test_the_same_import_again_changes_nothing(api: Api) -> None:
    lines = [line(i, "held") for i in range(5)]
    await send(api, lines)
    await settled(api, 5)
    assert {a["status"] for a in await send(api, lines)} == {"existing"}
    assert await api.world.owner.fetchval("select sum(changes) from scoring.repository_history") == 5
    assert await api.world.owner.fetchval("select count(*) from scoring.fix_outcomes") == 5


async def test_a_later_import_tells_what_happened_since_also_of_a_live_fix(api: Api) -> None:
    live = fix(external_id="c0", submitted_at=START.isoformat())
    await api.post("/v1/fixes", live, headers={"Prefer": "wait=10"}, as_="agent")
    await send(api, [line(1)])
    await settled(api, 2)
    answers = await send(api, [line(0, "held"), line(1, "reverted")])
    assert [a["status"] for a in answers] == ["existing", "existing"]
    for external_id, status in (("c0", "succeeded"), ("c1", "failed")):
        await api.until(f"/v1/fixes/{fix_id('acme/shop', external_id)}", "status", status)


async def test_a_broken_line_is_refused_and_the_rest_kept(api: Api) -> None:
    answers = await send(
        api,
        [
            line(0),
            b"{broken",
            line(1, diff="nonsense"),
            b"",
            line(2, external_id=None),
            line(3, odd=1),
            b"\xff",
            line(4),
        ],
    )
    assert [(a["line"], a["status"]) for a in answers] == [
        (1, "accepted"), (2, "rejected"), (3, "rejected"), (5, "rejected"), (6, "rejected"), (7, "rejected"),
        (8, "accepted"),
    ]  # fmt: skip
    fields = [a["problem"]["errors"][0]["field"] for a in answers if a["problem"]]
    assert fields == ["body", "diff", "external_id", "odd", "body"]


async def test_a_line_that_is_not_utf8_is_refused_as_such_and_the_rest_kept(api: Api) -> None:
    latin = json.dumps(line(1, title="Mu")).encode().replace(b"Mu", b"M\xfc")
    answers = await send(api, [line(0), latin, line(2)])
    assert [a["status"] for a in answers] == ["accepted", "rejected", "accepted"]
    problem = answers[1]["problem"]
    assert (problem["status"], problem["errors"]) == (400, [{"field": "body", "message": "is not UTF-8"}])


async def test_an_outcome_from_before_its_fix_is_refused_and_one_of_the_same_moment_is_not(api: Api) -> None:
    times = ["2025-01-01T11:59:59+02:00", "2025-01-01T12:00:00+02:00"]
    outcomes = [{"kind": "held", "observed_at": at} for at in times]
    at = "2025-01-01T10:00:00Z"
    answers = await send(api, [line(i, submitted_at=at, outcome=outcome) for i, outcome in enumerate(outcomes)])
    assert [a["status"] for a in answers] == ["rejected", "accepted"]
    assert [e["field"] for e in answers[0]["problem"]["errors"]] == ["outcome.observed_at"]
    await settled(api, 1)
    assert await api.world.owner.fetchval("select state from scoring.fix_outcomes") == "accepted"


async def test_a_line_over_the_limit_is_refused_by_its_number(api: Api) -> None:
    answers = await send(api, [line(0), b'{"diff":"' + b"x" * (5 << 20) + b'"}', line(1)])
    assert [a["status"] for a in answers] == ["accepted", "rejected", "accepted"]
    assert answers[1]["problem"]["status"] == 413


async def test_an_import_never_sees_the_future(api: Api) -> None:
    """A fix of today is known; an older history that comes later must not know it."""
    await api.post("/v1/fixes", fix(author="Ada"), headers={"Prefer": "wait=10"})
    await send(api, [line(0), line(1, diff=diff(new="    pass"))])
    await settled(api, 3)
    rows = await api.world.owner.fetch("select evidence from scoring.agent_auto_fixes order by submitted_at")
    assert [r["evidence"] for r in rows] == [0, 1, 0]


async def test_bulk_needs_the_scope_operate(api: Api) -> None:
    api.keys["agent"] = await api.world.key("agent", scopes=["submit", "read"])
    answer = await api.call("POST", "/v1/fixes/bulk", content=b"{}", as_="agent")
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


async def test_two_replicas_still_import_in_time_order(world: World) -> None:
    await world.start("scoring", "scoring", "patterns")
    api = await world.gateway()
    await send(api, [line(i // 3, external_id=f"o{i}") for i in range(150)])
    await settled(api, 150)
    rows = await world.owner.fetch("select evidence from scoring.agent_auto_fixes order by submitted_at, evidence")
    assert [r["evidence"] for r in rows] == list(range(150))
