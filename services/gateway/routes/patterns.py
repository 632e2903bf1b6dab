"""`/v1/patterns`: what kind of change it is, and what is like it."""

from typing import Any
from uuid import UUID

from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from services.gateway.bodies import AnalyzeBody
from services.gateway.guards import requires
from services.gateway.knowledge_views import Pattern, PatternRelated
from services.gateway.paging import DEFAULT_LIMIT, Cursor, FieldNames, Limit, after, page
from services.gateway.problems import not_found
from services.gateway.runtime import Runtime
from services.gateway.views import Page
from shared.contracts.commands import ANALYZE, PATTERN_RELATED, Analysis, NearPattern, PatternRelatedTo, ToAnalyze

Body = Request[Any, Any, Any]


@post("/v1/patterns/analyze", status_code=200, guards=[requires("read")])
async def analyze(data: JSONBody[AnalyzeBody], runtime: NamedDependency[Runtime]) -> Analysis:
    """What kind of change a diff is, and what was learned about its like; nothing is stored."""
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
    """Kinds of change that recur, and how they fared. The newest first."""
    return page(request, await runtime.knowledge.patterns(after(request, cursor), limit), fields, Pattern)


@get("/v1/patterns/{pattern_id:uuid}", guards=[requires("read")])
async def get_pattern(pattern_id: FromPath[UUID], runtime: NamedDependency[Runtime]) -> Pattern:
    """One pattern."""
    found = await runtime.knowledge.pattern(pattern_id)
    if found is None:
        raise not_found("pattern")
    return found


@get("/v1/patterns/{pattern_id:uuid}/related", guards=[requires("read")])
async def get_related(pattern_id: FromPath[UUID], runtime: NamedDependency[Runtime]) -> PatternRelated:
    """Other patterns near this one, and the learnings that apply to it."""
    near = await runtime.command(PATTERN_RELATED, PatternRelatedTo(pattern_id=pattern_id), NearPattern)
    return PatternRelated(items=list(near.patterns), learnings=list(near.learnings))
