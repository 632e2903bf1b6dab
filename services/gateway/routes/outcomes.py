"""What became of a fix, told by someone who is not its submitter."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from litestar import Request, Response, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from services.gateway.bodies import NamedOutcomeBody, OutcomeBody
from services.gateway.filters import IdempotencyKey
from services.gateway.guards import caller, requires
from services.gateway.keys import Principal
from services.gateway.problems import ApiError
from services.gateway.runtime import Runtime
from services.gateway.submission import check_time, command_id
from services.gateway.views import OutcomeAccepted
from shared.contracts.fixes import OutcomeReported
from shared.ids import fix_id as named_fix_id


async def report(
    runtime: NamedDependency[Runtime], principal: Principal, fix_id: UUID, body: OutcomeBody, outcome_id: UUID
) -> Response[OutcomeAccepted]:
    now = datetime.now(UTC)
    check_time("observed_at", body.observed_at, now)
    await refuse_submitter(runtime, principal, fix_id)
    event = OutcomeReported(
        outcome_id=outcome_id,
        fix_id=fix_id,
        reporter=principal.name,
        kind=body.kind,
        observed_at=(body.observed_at or now).astimezone(UTC),
        reported_at=now,
        detail=body.detail,
    )
    await runtime.publish(event)
    return Response(OutcomeAccepted(outcome_id=event.outcome_id), status_code=202)


async def refuse_submitter(runtime: NamedDependency[Runtime], principal: Principal, fix_id: UUID) -> None:
    """At once where the fix is stored; scoring refuses it again where it is not yet."""
    try:
        submitter = await runtime.queries.submitter(fix_id)
    except ApiError:
        return
    if submitter == principal.name:
        raise ApiError(403, "self_report", "whoever submitted a fix does not report its outcome; use another principal")


@post("/v1/fixes/{fix_id:uuid}/outcome", status_code=202, guards=[requires("report")])
async def report_outcome(
    request: Request[Any, Any, Any],
    fix_id: FromPath[UUID],
    data: JSONBody[OutcomeBody],
    runtime: NamedDependency[Runtime],
    idempotency_key: IdempotencyKey = None,
) -> Response[OutcomeAccepted]:
    """The latest report of a reporter counts; the earlier ones are kept."""
    principal = caller(request)
    outcome_id = command_id(principal, f"/v1/fixes/{fix_id}/outcome", idempotency_key)
    return await report(runtime, principal, fix_id, data, outcome_id)


@post("/v1/outcomes", status_code=202, guards=[requires("report")])
async def report_named_outcome(
    request: Request[Any, Any, Any],
    data: JSONBody[NamedOutcomeBody],
    runtime: NamedDependency[Runtime],
    idempotency_key: IdempotencyKey = None,
) -> Response[OutcomeAccepted]:
    """The same, for callers who know the fix by its repository's name for it."""
    fix_id = named_fix_id(data.repository, data.external_id)
    principal = caller(request)
    return await report(runtime, principal, fix_id, data, command_id(principal, "/v1/outcomes", idempotency_key))
