"""Patterns and learnings: the fleet's memory."""

from typing import Annotated, Any
from uuid import UUID

from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter

from services.gateway.bodies import AnalyzeBody, LearningBody
from services.gateway.guards import caller, requires
from services.gateway.paging import DEFAULT_LIMIT, Cursor, FieldNames, Limit, decode_cursor, page
from services.gateway.problems import not_found
from services.gateway.routes.fixes import IdempotencyKey
from services.gateway.runtime import Runtime
from services.gateway.submission import check_agent, check_diff, command_id
from services.gateway.views import Learning, Page, Pattern
from shared.contracts.commands import ANALYZE, LEARNING_CREATE, Analysis, LearningCreate, ToAnalyze
from shared.contracts.fixes import Category

Body = Request[Any, Any, Any]


@post("/v1/patterns/analyze", status_code=200, guards=[requires("read")])
async def analyze(data: JSONBody[AnalyzeBody], runtime: NamedDependency[Runtime]) -> Analysis:
    """What kind of change a diff is, and what was learned about its like; nothing is stored."""
    check_diff(data.diff)
    to_analyze = ToAnalyze(diff=data.diff, title=data.title, repository=data.repository)
    return await runtime.command(ANALYZE, to_analyze, Analysis)


@get("/v1/patterns", guards=[requires("read")])
async def list_patterns(
    request: Body,
    runtime: NamedDependency[Runtime],
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
    fields: FieldNames = None,
) -> Response[Page[Pattern]]:
    return page(request, await runtime.knowledge.patterns(decode_cursor(cursor), limit), fields, Pattern)


@get("/v1/patterns/{pattern_id:uuid}", guards=[requires("read")])
async def get_pattern(pattern_id: FromPath[UUID], runtime: NamedDependency[Runtime]) -> Pattern:
    found = await runtime.knowledge.pattern(pattern_id)
    if found is None:
        raise not_found("pattern")
    return found


@post("/v1/learnings", status_code=201, guards=[requires("submit")])
async def create_learning(
    request: Body,
    data: JSONBody[LearningBody],
    runtime: NamedDependency[Runtime],
    idempotency_key: IdempotencyKey = None,
) -> Response[Learning]:
    """What an agent learned. It is screened before it spreads: `status` tells whether it is `held`."""
    principal = caller(request)
    check_agent(principal, data.agent_id)
    fields = {name: getattr(data, name) for name in data.__struct_fields__}
    identity = command_id(principal, "/v1/learnings", idempotency_key)
    created = await runtime.command(
        LEARNING_CREATE, LearningCreate(id=identity, principal=principal.name, **fields), UUID
    )
    learning = await find_learning(runtime, created)
    return Response(learning, status_code=201, headers={"Location": f"/v1/learnings/{created}"})


@get("/v1/learnings", guards=[requires("read")])
async def list_learnings(
    request: Body,
    runtime: NamedDependency[Runtime],
    domain: FromQuery[str | None] = None,
    agent_id: FromQuery[str | None] = None,
    category: FromQuery[Category | None] = None,
    q: Annotated[str | None, QueryParameter(max_length=200)] = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
    fields: FieldNames = None,
) -> Response[Page[Learning]]:
    """Newest first."""
    wanted = {"domain": domain, "agent_id": agent_id, "category": category, "q": q}
    return page(request, await runtime.knowledge.learnings(wanted, decode_cursor(cursor), limit), fields, Learning)


@get("/v1/learnings/{learning_id:uuid}", guards=[requires("read")])
async def get_learning(learning_id: FromPath[UUID], runtime: NamedDependency[Runtime]) -> Learning:
    return await find_learning(runtime, learning_id)


async def find_learning(runtime: Runtime, learning_id: UUID) -> Learning:
    found = await runtime.knowledge.learning(learning_id)
    if found is None:
        raise not_found("learning")
    return found
