"""The whole system behind PgBouncer in transaction mode, where nothing may rely on a session."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from services.gateway.settings import GatewaySettings
from shared.settings import Settings, SettingsError
from tests.diffs import diff, fix
from tests.pgbouncer import PGBOUNCER, PREPARES_FROM, pgbouncer, version
from tests.servers import reachable_directory
from tests.world import Api, World, eventually

MODES = {"transaction": "", "transaction-prepared": "max_prepared_statements = 100"}


def why_not(mode: str) -> str | None:
    if PGBOUNCER is None:
        return "no pgbouncer here: on Debian, apt install pgbouncer"
    found = version(PGBOUNCER)
    if mode == "transaction-prepared" and found < PREPARES_FROM:
        return f"pgbouncer {found} follows no prepared statements; PRECEDENT_TEST_PGBOUNCER names another"
    return None


@pytest.fixture(params=MODES)
async def api(request: pytest.FixtureRequest, world: World) -> AsyncIterator[Api]:
    """The gateway and two of each worker, all of them behind it."""
    mode = request.param
    if reason := why_not(mode):
        pytest.skip(reason)
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(reachable_directory()))
        assert PGBOUNCER is not None
        through = await stack.enter_async_context(pgbouncer(PGBOUNCER, world.servers, directory, MODES[mode]))

        def pooled(role: str) -> dict[str, Any]:
            return {
                "database_url": through.database_url(world.database, role),
                "database_session_url": world.servers.database_url(world.database, role),
                "database_pooler": mode,
            }

        for service in ("scoring", "scoring", "patterns", "trainer"):
            await stack.enter_async_context(world.worker(service, **pooled(f"{service}_rw")))
        yield await world.gateway(**pooled("gateway_ro"))
        await world.stack.aclose()


def history(count: int) -> bytes:
    """NDJSON of fixes that held, one a day."""
    days = [f"{n + 1:02}T00:00:00Z" for n in range(count)]
    lines = [
        fix(external_id=f"c{day}", submitted_at=f"2025-01-{day}", author="Ada")
        | {"outcome": {"kind": "held", "observed_at": f"2025-03-{day}"}}
        for day in days
    ]
    return b"\n".join(json.dumps(line).encode() for line in lines)


async def test_everything_works_behind_a_pooler_that_keeps_no_session(api: Api) -> None:
    ndjson = {"content-type": "application/x-ndjson"}
    imported = await api.call("POST", "/v1/fixes/bulk", content=history(20), headers=ndjson)
    assert imported.text.count('"accepted"') == 20, imported.text
    wait = {"Prefer": "wait=20"}
    changes = [fix(diff=diff(new=f"    return {n}")) for n in range(40)]
    answers = await asyncio.gather(*(api.post("/v1/fixes", c, headers=wait, as_="agent") for c in changes))
    assert [a.status_code for a in answers] == [201] * 40
    first = answers[0].json()["id"]
    assert (await api.post(f"/v1/fixes/{first}/outcome", {"kind": "held"}, as_="reporter")).status_code == 202
    await api.until(f"/v1/fixes/{first}", "status", "succeeded")
    case = {"agent_id": "claude", "title": "Logins fail after a deploy", "collaboration_type": "incident"}
    assert (await api.post("/v1/collaborations", case)).status_code == 201

    async def counted() -> bool:
        found = (await api.get("/v1/stats/overview")).json()
        return bool(found["fixes"]["succeeded"] == 21 and found["collaborations"]["open"] == 1)

    await eventually(counted, 30)
    reads = ["/v1/fixes?limit=5", "/v1/learnings", "/v1/patterns", "/v1/models", f"/v1/fixes/{first}"]
    found = await asyncio.gather(*(api.get(path) for path in reads * 10))
    assert {answer.status_code for answer in found} == {200}


def test_a_pooler_needs_to_be_told_where_sessions_are() -> None:
    urls = dict.fromkeys(("PRECEDENT_DATABASE_URL", "PRECEDENT_NATS_URL", "PRECEDENT_REDIS_URL"), "postgresql://p/d")
    with pytest.raises(SettingsError, match="PRECEDENT_DATABASE_SESSION_URL"):
        GatewaySettings.read(urls | {"PRECEDENT_DATABASE_POOLER": "transaction"})
    with pytest.raises(SettingsError, match="one of none, transaction, transaction-prepared"):
        Settings.read(urls | {"PRECEDENT_DATABASE_POOLER": "session"})
