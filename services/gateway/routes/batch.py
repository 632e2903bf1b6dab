"""`POST /v1/batch`: up to fifty reads at once."""

from typing import Any

from litestar import Request, Response, post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from services.gateway.batch import Batch, check
from services.gateway.batch_bodies import BatchAnswers, BatchBody
from services.gateway.guards import caller, requires
from services.gateway.limit_headers import limited
from services.gateway.runtime import Runtime

ROUTE = "POST /v1/batch"


@post("/v1/batch", status_code=200, guards=[requires("read")])
async def read_batch(
    request: Request[Any, Any, Any], data: JSONBody[BatchBody], runtime: NamedDependency[Runtime]
) -> Response[BatchAnswers]:
    """Several reads, answered in their order. It costs what they cost together; each obeys its scope, and none is
    itself a batch or a stream. `if_none_match` saves the body of what the caller has.
    """
    check(data.reads)
    await pay(request, runtime, data)
    return Response(BatchAnswers(items=await Batch(runtime.edge, request.scope).answers(data.reads)))  # type: ignore[arg-type]


async def pay(request: Request[Any, Any, Any], runtime: Runtime, body: BatchBody) -> None:
    """The rest of the price: the edge has taken that of a request whose body it had not seen."""
    cost = sum(runtime.policies.of(runtime.names.of("GET", read.path.partition("?")[0])).cost for read in body.reads)
    batch = runtime.policies.of(ROUTE)
    verdict, _ = await runtime.limiter.take(caller(request), batch, cost=max(0, cost - batch.cost))
    request.scope["verdict"] = verdict  # type: ignore[typeddict-unknown-key]
    if verdict.violated:
        raise limited(verdict.violated, verdict.retry_after)
