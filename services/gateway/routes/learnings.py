"""`/v1/learnings`: what agents learned, how it fared, and the handbook made of it."""

from typing import Any
from uuid import UUID

from litestar import Request, Response, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody

from services.gateway import served
from services.gateway.conditional import check_if_match
from services.gateway.filters import Filter, IdempotencyKey, IfMatch, Words, search
from services.gateway.guards import caller, requires
from services.gateway.handbook import handbook
from services.gateway.knowledge_bodies import LearningBody, LearningPatch
from services.gateway.knowledge_views import HeldLearning, Learning, LearningVersion
from services.gateway.paging import DEFAULT_LIMIT, Cursor, FieldNames, Limit, after, page
from services.gateway.problems import not_found
from services.gateway.runtime import Runtime
from services.gateway.submission import check_agent, command_id
from services.gateway.views import Page
from shared.contracts.commands import (
    LEARNING_CREATE,
    LEARNING_DELETE,
    LEARNING_RELEASE,
    LEARNING_UPDATE,
    LearningCreate,
    LearningDelete,
    LearningRelease,
    LearningStatus,
    LearningUpdate,
)
from shared.contracts.fixes import Category
from shared.ids import new_id

Body = Request[Any, Any, Any]


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
    command = LearningCreate(id=identity, principal=principal.name, **fields)
    learning = await find_learning(runtime, await runtime.command(LEARNING_CREATE, command, UUID))
    return Response(learning, status_code=201, headers={"Location": f"/v1/learnings/{learning.id}"})


@get("/v1/learnings", guards=[requires("read")])
async def list_learnings(
    request: Body,
    runtime: NamedDependency[Runtime],
    domain: Filter = None,
    agent_id: Filter = None,
    category: FromQuery[Category | None] = None,
    pattern_id: FromQuery[UUID | None] = None,
    status: FromQuery[LearningStatus | None] = None,
    q: Words = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
    fields: FieldNames = None,
) -> Response[Page[Learning]]:
    """Learnings. The newest first."""
    wanted = {
        "domain": domain, "agent_id": agent_id, "category": category, "pattern_id": pattern_id, "status": status,
        "q": search(q),
    }  # fmt: skip
    served.LEARNINGS.check(wanted)
    return page(request, await runtime.knowledge.learnings(wanted, after(request, cursor), limit), fields, Learning)


@get("/v1/learnings/handbook", media_type="text/markdown", guards=[requires("read")])
async def get_handbook(runtime: NamedDependency[Runtime], domain: Filter = None) -> str:
    """Markdown made of what was learned, a section a domain; of patterns what was so at most 5 s ago."""
    learnings, patterns = await runtime.knowledge.handbook(domain)
    return handbook(learnings, patterns, domain)


@get("/v1/learnings/held", guards=[requires("operate")])
async def list_held(
    request: Body,
    runtime: NamedDependency[Runtime],
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
    fields: FieldNames = None,
) -> Response[Page[HeldLearning]]:
    """What screening holds back, with its text, for an operator to release or delete. The newest first."""
    return page(request, await runtime.knowledge.held(after(request, cursor), limit), fields, HeldLearning)


@get("/v1/learnings/{learning_id:uuid}", guards=[requires("read")])
async def get_learning(learning_id: FromPath[UUID], runtime: NamedDependency[Runtime]) -> Learning:
    """One learning, with how the fixes that cite it fared."""
    return await find_learning(runtime, learning_id)


async def find_learning(runtime: Runtime, learning_id: UUID) -> Learning:
    found = await runtime.knowledge.learning(learning_id)
    if found is None:
        raise not_found("learning")
    return found


@get("/v1/learnings/{learning_id:uuid}/versions", guards=[requires("read")])
async def list_versions(learning_id: FromPath[UUID], runtime: NamedDependency[Runtime]) -> Page[LearningVersion]:
    """What it said before each change, the latest first, at most 200."""
    await find_learning(runtime, learning_id)
    return Page(items=await runtime.knowledge.versions(learning_id))


@patch("/v1/learnings/{learning_id:uuid}", guards=[requires("submit")])
async def change_learning(
    request: Body,
    learning_id: FromPath[UUID],
    data: JSONBody[LearningPatch],
    runtime: NamedDependency[Runtime],
    if_match: IfMatch = None,
) -> Learning:
    """Changes it, or with `superseded_by` points on to a better one; a new text is screened again."""
    command = LearningUpdate(changes=data, **await addressed(request, runtime, learning_id, if_match))
    return await find_learning(runtime, await runtime.command(LEARNING_UPDATE, command, UUID))


@delete("/v1/learnings/{learning_id:uuid}", status_code=204, guards=[requires("submit")])
async def delete_learning(
    request: Body, learning_id: FromPath[UUID], runtime: NamedDependency[Runtime], if_match: IfMatch = None
) -> None:
    """Takes it away with its history; what it superseded is in force again."""
    command = LearningDelete(**await addressed(request, runtime, learning_id, if_match))
    await runtime.command(LEARNING_DELETE, command, UUID)


@post("/v1/learnings/{learning_id:uuid}/release", status_code=200, guards=[requires("operate")])
async def release_learning(
    request: Body, learning_id: FromPath[UUID], runtime: NamedDependency[Runtime], if_match: IfMatch = None
) -> Learning:
    """Lets a held learning reach other agents. With `If-Match`, only the text that was read."""
    command = LearningRelease(**await addressed(request, runtime, learning_id, if_match))
    return await find_learning(runtime, await runtime.command(LEARNING_RELEASE, command, UUID))


async def addressed(request: Body, runtime: Runtime, learning_id: UUID, if_match: str | None) -> dict[str, Any]:
    """What every command about a learning says: who speaks, of which, and in which version it was seen."""
    principal, version = caller(request), None
    if if_match is not None:
        learning = await find_learning(runtime, learning_id)
        version = learning.version if check_if_match(request, learning) else None
    return {
        "command_id": new_id(),
        "id": learning_id,
        "principal": principal.name,
        "operator": "operate" in principal.scopes,
        "version": version,
    }
