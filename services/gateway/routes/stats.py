"""`/v1/stats`: how agents, and what they worked out together, fared."""

from typing import Annotated, Any

import msgspec
from litestar import Request, Response, get
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from services.gateway.filters import Filter
from services.gateway.guards import requires
from services.gateway.paging import DEFAULT_LIMIT, Limit, decode_cursor, encode_cursor, next_page
from services.gateway.runtime import Runtime
from services.gateway.stats_views import AgentStatsPage, CollaborationStatsPage, Overview

# A name may be 200 characters of four bytes each, and a cursor writes three bytes as four.
AgentCursor = Annotated[
    str | None,
    QueryParameter(format="agent-cursor", max_length=1200, description="`next_cursor` of the page before."),
]
MinSettled = Annotated[int, QueryParameter(ge=0, le=1_000_000)]


class After(msgspec.Struct, frozen=True):
    """The last agent of the page before."""

    agent_id: str


@get("/v1/stats/agents", guards=[requires("read")])
async def get_agent_stats(
    request: Request[Any, Any, Any],
    runtime: NamedDependency[Runtime],
    agent_id: Filter = None,
    min_settled: MinSettled = 0,
    limit: Limit = DEFAULT_LIMIT,
    cursor: AgentCursor = None,
) -> Response[AgentStatsPage]:
    """How each agent's fixes fared, beside what was predicted for them; by name."""
    after = decode_cursor(request.url.path, cursor, After)
    found = await runtime.stats.agents(agent_id, None if after is None else after.agent_id, min_settled, limit)
    last = found.next_cursor
    following = None if last is None else encode_cursor(request.url.path, After(last))
    return Response(msgspec.structs.replace(found, next_cursor=following), headers=next_page(request, following))


@get("/v1/stats/collaborations", guards=[requires("read")])
async def get_collaboration_stats(runtime: NamedDependency[Runtime]) -> CollaborationStatsPage:
    """How collaborations of each type ended, and how long it took."""
    return await runtime.stats.collaborations()


@get("/v1/stats/overview", guards=[requires("read")])
async def get_overview(runtime: NamedDependency[Runtime]) -> Overview:
    """All agents and all collaborations together."""
    return await runtime.stats.overview()
