"""Every answer that the API's description promises was given at least once, and none that it does not promise."""

import asyncio
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import pytest

from services.gateway import readers
from shared.keys import SCOPES
from tests.api.matrix_state import Known, conflicts, full_log, prepared, right, successes
from tests.matrix import OTHER_TYPE, TOO_LARGE, Cell, Matrix, Operation, operations
from tests.world import Api, World, eventually

OPERATIONS = operations()
NOBODY: Mapping[str, Any] = {}
# One token for everything, which the first request takes.
ONE_REQUEST = """
policies = [{ name = "one", limit = 1, window_seconds = 3600 }]
costs = { "POST /v1/confidence/batch" = 1, "POST /v1/models/retrain" = 1 }
"""
AWAY = "127.0.0.1:1"
MOST_TRIES = 20


@pytest.fixture(scope="module")
async def seen(standing: World, tmp_path_factory: pytest.TempPathFactory) -> set[Cell]:
    """What all recipes together have seen."""
    limits = tmp_path_factory.mktemp("matrix") / "limits.toml"
    limits.write_text(ONE_REQUEST)
    return await visited(standing, str(limits))


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_every_answer_that_is_described_was_given(seen: set[Cell], operation: Operation) -> None:
    promised = set(operation.cells())
    given = {cell for cell in seen if cell.operation == operation.name}
    assert promised - given == set(), "described, but no request led to it: can it happen?"
    assert given - promised == set(), "given, but not described"


async def visited(world: World, limits: str) -> set[Cell]:
    matrix = Matrix()
    api = await watched(matrix, world)
    for name in ("owner", "reporter"):
        api.keys[name] = await world.key(name)
    await without_workers(api)
    await refused(api)
    await strangers(api)
    await world.start("scoring", "patterns")
    await unreadable(api)
    known = await prepared(api)
    await stores_away(matrix, api, known, limits)
    await successes(api, known, OPERATIONS)
    await unchanged(api, known)
    await nowhere(api)
    await stale(api, known)
    await repeated(api, known)
    await conflicts(api, known)
    await full_log(api, known, OPERATIONS)
    return matrix.seen


async def watched(matrix: Matrix, world: World, **changes: Any) -> Api:
    api = await world.gateway(**changes)
    matrix.watch(api.client)
    return api


async def ask(api: Api, operation: Operation, known: Mapping[str, Any] = NOBODY, **options: Any) -> Any:
    """With a body that is right, unless `options` bring another."""
    body = {key: value for key, value in right(operation).items() if key == "json" and "content" not in options}
    return await api.call(operation.method, operation.path(known), **body | options)


def promising(*codes: str) -> list[Operation]:
    return [o for o in OPERATIONS if any(cell.code in codes for cell in o.cells())]


async def without_workers(api: Api) -> None:
    for operation in promising("scoring_unavailable", "patterns_unavailable"):
        await ask(api, operation)


async def refused(api: Api) -> None:
    """What is wrong by the schema alone."""
    for operation in promising("invalid_request"):
        for broken in operation.broken():
            await ask(api, operation, broken.pop("known", NOBODY), **broken)
    for operation in promising("filters_not_served"):
        await ask(api, operation, params={"agent_id": "claude", "domain": "auth", "q": "token"})
    for operation in promising("too_large"):
        await ask(api, operation, **TOO_LARGE)
    for operation in promising("unsupported_media_type"):
        await ask(api, operation, **OTHER_TYPE)


async def unreadable(api: Api) -> None:
    for operation in promising("invalid_diff"):
        body, wrong = operation.body, {"diff": "no diff"}
        many = {name: [item | wrong for item in body[name]] for name in body.keys() & {"items"}}
        await ask(api, operation, json=many or body | wrong)


async def strangers(api: Api) -> None:
    """Without a key, without the scope, for another's agent."""
    guarded = [operation for operation in OPERATIONS if operation.scope]
    for scope in SCOPES:
        api.keys[f"without-{scope}"] = await api.world.key("half", scopes=[s for s in SCOPES if s != scope])
    api.keys["codex"] = await api.world.key("codex", agents=["codex"])
    for operation in guarded:
        await api.client.request(operation.method, operation.path({}))
        await ask(api, operation, as_=f"without-{operation.scope}")
    for operation in promising("agent_not_allowed"):
        await ask(api, operation, as_="codex")


async def stores_away(matrix: Matrix, main: Api, known: Known, limits: str) -> None:
    """Gateways that lack something each, as everything comes to them."""
    guarded = [operation for operation in OPERATIONS if operation.scope]
    world = main.world
    without_store = await watched(matrix, world, database_url=f"postgresql://{AWAY}/none")
    limited = await watched(matrix, world, policies=limits)
    limited.keys = {"owner": await world.key("limited")}
    await limited.get("/v1/flags")
    pressed = await watched(matrix, world, shed_lag_seconds=1e-9)

    async def shed() -> bool:
        return (await pressed.get("/v1/flags")).status_code == 503

    await eventually(shed)
    for api in (without_store, limited, pressed):
        api.keys |= main.keys if api is not limited else {}
        for operation in guarded:
            await ask(api, operation)
    without_bus = await watched(matrix, world, readiness=503, nats_url=f"nats://{AWAY}")
    without_bus.keys = main.keys
    await without_bus.client.get("/readyz")
    for operation in promising("bus_unavailable"):
        await ask(without_bus, operation, known, **right(operation))
    without_redis = await watched(matrix, world, redis_url=f"redis://{AWAY}")
    for operation in promising("not_yet_visible"):
        await ask(without_redis, operation)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(readers, "MOST_READERS", 0)
        for operation in promising("too_many_streams"):
            await ask(main, operation)


async def unchanged(api: Api, known: Known) -> None:
    for operation in OPERATIONS:
        if any(cell.status == 304 for cell in operation.cells()):
            await ask(api, operation, known, headers={"If-None-Match": "*"})


async def nowhere(api: Api) -> None:
    for operation in promising("not_found"):
        await ask(api, operation)


async def stale(api: Api, known: Known) -> None:
    for operation in promising("precondition_failed"):
        await ask(api, operation, known, headers={"If-Match": '"another"'})


async def repeated(api: Api, known: Known) -> None:
    """The same idempotency key for another request, and for the same one while it is under way."""
    for operation in promising("idempotency_mismatch"):
        sent = right(operation) | {"headers": {"Idempotency-Key": str(uuid4())}}
        first = await ask(api, operation, known, **sent)
        assert first.is_success, first.text
        await ask(api, operation, known, **sent, params={"another": "request"})
    for operation in promising("idempotency_in_progress"):
        for _ in range(MOST_TRIES):
            sent = right(operation) | {"headers": {"Idempotency-Key": str(uuid4())}}
            same = [ask(api, operation, known, **sent) for _ in range(4)]
            if any(answer.status_code == 409 for answer in await asyncio.gather(*same)):
                break
