"""From which confidence on a change may merge by itself, and below which it gets no further."""

from typing import Annotated

from litestar import get, put
from litestar.di import NamedDependency
from litestar.params import JSONBody, QueryParameter

from services.gateway.bodies import NO_NUL, ThresholdsBody
from services.gateway.guards import requires
from services.gateway.problems import invalid
from services.gateway.runtime import Runtime
from services.gateway.views import Thresholds
from shared.contracts.commands import THRESHOLDS_SET, ThresholdsSet

OfRepository = Annotated[
    str | None,
    QueryParameter(
        min_length=1,
        max_length=300,
        pattern=NO_NUL,
        description="The repository; left out, what holds for all that have none.",
    ),
]


@get("/v1/thresholds", guards=[requires("operate")])
async def get_thresholds(runtime: NamedDependency[Runtime], repository: OfRepository = None) -> Thresholds:
    """The thresholds that decisions on a repository's fixes follow."""
    return await runtime.model_reads.thresholds(repository or "")


@put("/v1/thresholds", guards=[requires("operate")])
async def put_thresholds(
    runtime: NamedDependency[Runtime], data: JSONBody[ThresholdsBody], repository: OfRepository = None
) -> Thresholds:
    """Sets a repository's thresholds. They hold for every decision from the answer on; earlier ones stay as they
    were made.
    """
    if data.block >= data.auto_merge:
        raise invalid("block", "must be below auto_merge")
    command = ThresholdsSet(repository=repository or "", auto_merge=data.auto_merge, block=data.block)
    kept = await runtime.command(THRESHOLDS_SET, command, ThresholdsSet)
    return Thresholds(repository=kept.repository, auto_merge=kept.auto_merge, block=kept.block, inherited=False)
