"""The registry: which models there are, how good they measured, and asking for a new one."""

from typing import Any
from uuid import UUID

from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody

from services.gateway.bodies import PromoteBody, RetrainBody
from services.gateway.filters import IdempotencyKey, Version
from services.gateway.guards import caller, requires
from services.gateway.problems import ApiError, not_found
from services.gateway.runtime import Runtime
from services.gateway.submission import command_id
from services.gateway.views import Model, Page, Promotion, PromotionAccepted, RunAccepted, TrainingRun
from shared.contracts.models import ModelKind, PromotionRequested, RetrainRequested

MARKER = "run"
Body = Request[Any, Any, Any]


@get("/v1/models", guards=[requires("read")])
async def list_models(runtime: NamedDependency[Runtime], kind: FromQuery[ModelKind | None] = None) -> Page[Model]:
    """Models. The newest first, at most 200."""
    return Page(items=await runtime.queries.models(kind))


@get("/v1/models/{version:str}", guards=[requires("read")])
async def get_model(version: Version, runtime: NamedDependency[Runtime]) -> Model:
    """One model, with what was measured."""
    return await find_model(runtime, version)


async def find_model(runtime: Runtime, version: str) -> Model:
    found = await runtime.queries.model(version)
    if found is None:
        raise not_found("model")
    return found


@get("/v1/models/{version:str}/promotions", guards=[requires("read")])
async def list_promotions(version: Version, runtime: NamedDependency[Runtime]) -> Page[Promotion]:
    """What was in production when, by whom and why."""
    await find_model(runtime, version)
    return Page(items=await runtime.queries.promotions(version))


@post("/v1/models/retrain", status_code=202, guards=[requires("operate")])
async def retrain(
    request: Body,
    runtime: NamedDependency[Runtime],
    data: JSONBody[RetrainBody | None] = None,
    idempotency_key: IdempotencyKey = None,
) -> Response[RunAccepted]:
    """Asks the trainer for a new model; a run of the same kind that is under way is joined."""
    body, principal = data or RetrainBody(), caller(request)
    run_id = command_id(principal, "/v1/models/retrain", idempotency_key)
    await runtime.publish(
        RetrainRequested(run_id=run_id, kind=body.kind, reason=body.reason, requested_by=principal.name)
    )
    await runtime.markers.set(MARKER, run_id)
    return Response(RunAccepted(run_id=run_id), status_code=202, headers={"Location": f"/v1/training-runs/{run_id}"})


@post("/v1/models/{version:str}/promote", status_code=202, guards=[requires("operate")])
async def promote(
    request: Body,
    version: Version,
    runtime: NamedDependency[Runtime],
    data: JSONBody[PromoteBody | None] = None,
    idempotency_key: IdempotencyKey = None,
) -> Response[PromotionAccepted]:
    """Makes this version the one that answers, also to roll back."""
    await find_model(runtime, version)
    principal, reason = caller(request), data.reason if data else None
    request_id = command_id(principal, f"/v1/models/{version}/promote", idempotency_key)
    await runtime.publish(
        PromotionRequested(request_id=request_id, version=version, requested_by=principal.name, reason=reason)
    )
    return Response(PromotionAccepted(version=version), status_code=202)


@get("/v1/training-runs/{run_id:uuid}", guards=[requires("read")])
async def get_training_run(run_id: FromPath[UUID], runtime: NamedDependency[Runtime]) -> TrainingRun:
    """How far a training run is."""
    found = await runtime.queries.training_run(run_id)
    if found is not None:
        return found
    queued = await runtime.markers.has(MARKER, run_id)
    if queued:
        return TrainingRun(run_id=run_id, status="queued", progress=0.0)
    if queued is None:
        raise ApiError(404, "not_yet_visible", "not stored, and nobody knows whether it is on its way")
    raise not_found("training run")
