"""`/v1/confidence`: a score for a change that is not stored."""

from typing import Any

import msgspec
from litestar import Request, Response, post
from litestar.di import NamedDependency
from litestar.params import FromQuery, JSONBody

from services.gateway.bodies import ConfidenceBatchBody, ConfidenceBody
from services.gateway.guards import caller, requires
from services.gateway.predictions import question_of
from services.gateway.problems import ApiError, details, within
from services.gateway.runtime import Runtime
from services.gateway.submission import candidate, check_change, check_claims
from services.gateway.views import ConfidenceBatch
from shared.contracts.commands import CONFIDENCE, Confidence

Body = Request[Any, Any, Any]


@post("/v1/confidence", status_code=200, guards=[requires("read")])
async def score(
    request: Body, data: JSONBody[ConfidenceBody], runtime: NamedDependency[Runtime], explain: FromQuery[bool] = False
) -> Response[Confidence]:
    """Scores without storing; `?explain=true` adds the contributions of the model."""
    asked = candidate(caller(request), data, explain)
    check_claims(data)
    said = await runtime.predictions.of(question_of(asked))
    return Response(said, media_type="application/json")  # type: ignore[arg-type]


@post("/v1/confidence/batch", status_code=200, guards=[requires("read")])
async def score_batch(
    request: Body,
    data: JSONBody[ConfidenceBatchBody],
    runtime: NamedDependency[Runtime],
    explain: FromQuery[bool] = False,
) -> Response[ConfidenceBatch]:
    """In the order of `items`; an item that cannot be scored is answered with its problem."""
    candidates = []
    for number, item in enumerate(data.items):
        with within(f"items[{number}]"):
            candidates.append(candidate(caller(request), item, explain))
            check_change(item)
    replies = await runtime.commands(CONFIDENCE, candidates)
    items = [reply.value if reply.problem is None else details(ApiError.of(reply.problem)) for reply in replies]
    return Response(msgspec.json.encode({"items": items}), media_type="application/json")  # type: ignore[arg-type]
