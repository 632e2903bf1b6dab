"""Outcomes: claims by one principal about the fixes of another."""

from datetime import UTC, datetime, timedelta

import pytest

from shared.ids import fix_id
from tests.diffs import fix
from tests.world import Api, World, eventually


@pytest.fixture
async def api(world: World) -> Api:
    await world.start("scoring")
    return await world.gateway()


async def scored(api: Api, **fields: object) -> str:
    answer = await api.post("/v1/fixes", fix(**fields), as_="agent")
    await api.until(answer.headers["location"], "status", "scored")
    return str(answer.headers["location"])


async def test_an_outcome_settles_the_fix(api: Api) -> None:
    path = await scored(api)
    answer = await api.post(f"{path}/outcome", {"kind": "held", "detail": "a month in production"}, as_="reviewer")
    assert (answer.status_code, answer.json()["status"]) == (202, "accepted")
    settled = await api.until(path, "status", "succeeded")
    assert settled["outcome"]["kind"] == "held"


async def test_an_outcome_by_the_repositorys_own_name(api: Api) -> None:
    path = await scored(api, external_id="pr-7")
    named = {"repository": "acme/shop", "external_id": "pr-7", "kind": "reverted"}
    assert (await api.post("/v1/outcomes", named, as_="reviewer")).status_code == 202
    assert (await api.until(path, "status", "failed"))["outcome"]["kind"] == "reverted"
    assert path.endswith(str(fix_id("acme/shop", "pr-7")))


async def test_one_key_on_two_routes_is_two_reports(api: Api) -> None:
    path = await scored(api, external_id="pr-8")
    key = {"Idempotency-Key": "k1"}
    await api.post(f"{path}/outcome", {"kind": "held"}, headers=key, as_="reviewer")
    await api.until(path, "status", "succeeded")
    named = {"repository": "acme/shop", "external_id": "pr-8", "kind": "reverted"}
    ids = {(await api.post("/v1/outcomes", named, headers=key, as_="reviewer")).json()["outcome_id"] for _ in range(2)}
    assert len(ids) == 1
    assert (await api.until(path, "status", "failed"))["outcome"]["kind"] == "reverted"


async def test_nobody_reports_on_its_own_fix(api: Api) -> None:
    path = await scored(api)
    answer = await api.post(f"{path}/outcome", {"kind": "held"}, as_="agent")
    assert (answer.status_code, answer.json()["code"]) == (403, "self_report")


async def test_the_latest_word_of_a_reporter_counts_and_a_seen_failure_outweighs_a_claim(api: Api) -> None:
    path = await scored(api)
    for reporter, kind, status in (
        ("a", "fixed_again", "failed"), ("b", "held", "failed"), ("a", "held", "succeeded"),
    ):  # fmt: skip
        await api.post(f"{path}/outcome", {"kind": kind}, as_=reporter)

        async def counted(number: int = 0) -> bool:
            rows = await api.world.owner.fetch("select kind from scoring.fix_outcomes where state = 'accepted'")
            return len(rows) > number

        await eventually(counted)
        await api.until(path, "status", status)
    assert await api.world.owner.fetchval("select sum(failures) from scoring.repository_history") == 0


@pytest.mark.parametrize("days_ago", [40, None], ids=["backdated", "live"])
async def test_an_outcome_before_the_fix_waits_for_it(api: Api, days_ago: int | None) -> None:
    named = {"repository": "acme/shop", "external_id": "late", "kind": "held"}
    answer = await api.post("/v1/outcomes", named | {"observed_at": datetime.now(UTC).isoformat()}, as_="reviewer")
    assert answer.status_code == 202

    async def pending() -> bool:
        return bool(await api.world.owner.fetchval("select count(*) from scoring.fix_outcomes where state = 'pending'"))

    await eventually(pending)
    at = {"submitted_at": (datetime.now(UTC) - timedelta(days=days_ago)).isoformat()} if days_ago else {}
    await api.post("/v1/fixes", fix(external_id="late", **at), as_="agent")
    path = f"/v1/fixes/{fix_id('acme/shop', 'late')}"
    await api.until(path, "status", "succeeded")
    told = (await api.get(path)).json()
    assert told["outcome"]["observed_at"] >= told["submitted_at"]


async def test_an_outcome_observed_before_the_submission_is_refused_with_its_reason(api: Api) -> None:
    path = await scored(api)
    old = (datetime.now(UTC) - timedelta(days=3)).isoformat()
    await api.post(f"{path}/outcome", {"kind": "held", "observed_at": old}, as_="reviewer")

    async def refused() -> str | None:
        reason: str | None = await api.world.owner.fetchval(
            "select refused_reason from scoring.fix_outcomes where state = 'refused'"
        )
        return reason

    assert "earlier" in await eventually(refused)
    assert (await api.get(path)).json()["status"] == "scored"
