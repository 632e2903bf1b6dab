"""Wires the gateway: `create_app` returns the edge around Litestar. Nothing connects before the application starts."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from litestar import Litestar
from litestar.di import Provide
from litestar.handlers import HTTPRouteHandler
from litestar.middleware import DefineMiddleware

from services.gateway.cors import Cors
from services.gateway.descriptions import Descriptions
from services.gateway.edge import Edge
from services.gateway.idempotency import Idempotent
from services.gateway.json_request import JsonRequest, check_query
from services.gateway.problems import respond
from services.gateway.route_names import names_of
from services.gateway.routes import (
    batch,
    calibration,
    collaborations,
    confidence,
    descriptions,
    events,
    fixes,
    flags,
    health,
    learnings,
    models,
    operations,
    outcomes,
    patterns,
    stats,
    thresholds,
)
from services.gateway.runtime import Runtime
from services.gateway.settings import GatewaySettings
from services.gateway.submission import MAX_BODY_BYTES
from shared.worker import rarely_collect

ROUTES: list[HTTPRouteHandler] = [
    fixes.submit_fix,
    fixes.submit_bulk,
    fixes.list_fixes,
    fixes.get_fix,
    fixes.correct_fix,
    outcomes.report_outcome,
    outcomes.report_named_outcome,
    confidence.score,
    confidence.score_batch,
    patterns.analyze,
    patterns.list_patterns,
    patterns.get_pattern,
    patterns.get_related,
    learnings.create_learning,
    learnings.list_learnings,
    learnings.get_handbook,
    learnings.list_held,
    learnings.get_learning,
    learnings.list_versions,
    learnings.change_learning,
    learnings.delete_learning,
    learnings.release_learning,
    collaborations.open_collaboration,
    collaborations.list_collaborations,
    collaborations.get_collaboration,
    collaborations.change_collaboration,
    collaborations.join_collaboration,
    collaborations.propose_solution,
    collaborations.vote,
    models.list_models,
    models.get_model,
    models.list_promotions,
    calibration.get_calibration,
    models.retrain,
    models.promote,
    models.get_training_run,
    stats.get_agent_stats,
    stats.get_collaboration_stats,
    stats.get_overview,
    batch.read_batch,
    events.events,
    flags.list_flags,
    flags.set_flag,
    thresholds.get_thresholds,
    thresholds.put_thresholds,
    operations.get_operations,
    operations.list_dead_letters,
    operations.replay_dead_letter,
    health.healthz,
    health.readyz,
    health.metrics,
    descriptions.openapi,
    descriptions.asyncapi,
    descriptions.docs,
]

# Litestar declares its ASGI messages one by one; what passes through here is any of them.
IDEMPOTENT: Any = Idempotent

log = logging.getLogger(__name__)


def create_app(settings: GatewaySettings) -> Edge | Cors:
    routes = names_of(ROUTES)
    runtime = Runtime(settings, routes)

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        await runtime.open()
        rarely_collect()
        yield
        await runtime.close()

    async def provide_runtime() -> Runtime:
        return runtime

    described = Descriptions(ROUTES)

    async def provide_descriptions() -> Descriptions:
        return described

    app: Any = Litestar(
        route_handlers=[*ROUTES, descriptions.front],
        lifespan=[lifespan],
        dependencies={"runtime": Provide(provide_runtime), "descriptions": Provide(provide_descriptions)},
        request_class=JsonRequest,
        before_request=check_query,
        middleware=[DefineMiddleware(IDEMPOTENT, claims=runtime.claims)],
        exception_handlers={Exception: _respond},
        openapi_config=None,
        request_max_body_size=MAX_BODY_BYTES,
        logging_config=None,
    )
    edge = Edge(app, runtime, runtime.names)
    runtime.edge = edge
    return Cors(edge, settings.cors_origins) if settings.cors_origins else edge


def _respond(request: Any, error: Exception) -> Any:
    answer = respond(request, error)
    if answer.status_code == 500:
        log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return answer
