"""`/v1/collaborations`: agents work a case out together and vote, blind until it is closed."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from litestar import Request, Response, get, patch, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody
from msgspec import UnsetType

from services.gateway import served
from services.gateway.conditional import check_if_match
from services.gateway.filters import Filter, IdempotencyKey, IfMatch, Words, search
from services.gateway.guards import caller, requires
from services.gateway.knowledge_bodies import CollaborationBody, CollaborationPatch, JoinBody, SolutionBody, VoteBody
from services.gateway.knowledge_views import Collaboration, Solution
from services.gateway.paging import DEFAULT_LIMIT, Cursor, FieldNames, Limit, after, page
from services.gateway.problems import invalid, not_found
from services.gateway.runtime import Runtime
from services.gateway.submission import check_agent, command_id
from services.gateway.views import Page
from shared.contracts.commands import (
    COLLABORATION_JOIN,
    COLLABORATION_OPEN,
    COLLABORATION_PROPOSE,
    COLLABORATION_UPDATE,
    COLLABORATION_VOTE,
    CollaborationJoin,
    CollaborationOpen,
    CollaborationStatus,
    CollaborationType,
    CollaborationUpdate,
    SolutionPropose,
    SolutionVote,
)
from shared.ids import new_id

USUAL_TIME = timedelta(days=1)
LONGEST_TIME = timedelta(days=90)
Body = Request[Any, Any, Any]


def checked_deadline(deadline: datetime | None, now: datetime) -> datetime:
    """In UTC."""
    at = (deadline or now + USUAL_TIME).astimezone(UTC)
    if not now < at <= now + LONGEST_TIME:
        raise invalid("deadline", f"lies in the future, at most {LONGEST_TIME.days} days ahead")
    return at


@post("/v1/collaborations", status_code=201, guards=[requires("submit")])
async def open_collaboration(
    request: Body,
    data: JSONBody[CollaborationBody],
    runtime: NamedDependency[Runtime],
    idempotency_key: IdempotencyKey = None,
) -> Response[Collaboration]:
    """Opens a case; whoever opens it has joined it. A solution wins with `quorum` voters and a lead of `margin`."""
    principal = caller(request)
    check_agent(principal, data.agent_id)
    if data.margin > data.quorum:
        raise invalid("margin", "is at most the quorum")
    fields = msgspec.structs.asdict(data) | {"deadline": checked_deadline(data.deadline, datetime.now(UTC))}
    identity = command_id(principal, "/v1/collaborations", idempotency_key)
    command = CollaborationOpen(id=identity, principal=principal.name, **fields)
    opened = await find_collaboration(runtime, await runtime.command(COLLABORATION_OPEN, command, UUID))
    return Response(opened, status_code=201, headers={"Location": f"/v1/collaborations/{opened.id}"})


@get("/v1/collaborations", guards=[requires("read")])
async def list_collaborations(
    request: Body,
    runtime: NamedDependency[Runtime],
    status: FromQuery[CollaborationStatus | None] = None,
    collaboration_type: FromQuery[CollaborationType | None] = None,
    agent_id: Filter = None,
    domain: Filter = None,
    q: Words = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
    fields: FieldNames = None,
) -> Response[Page[Collaboration]]:
    """Collaborations. The newest first."""
    wanted = {
        "status": status, "collaboration_type": collaboration_type, "agent_id": agent_id, "domain": domain,
        "q": search(q),
    }  # fmt: skip
    served.COLLABORATIONS.check(wanted)
    found = await runtime.knowledge.collaborations(wanted, after(request, cursor), limit)
    return page(request, found, fields, Collaboration)


@get("/v1/collaborations/{collaboration_id:uuid}", guards=[requires("read")])
async def get_collaboration(collaboration_id: FromPath[UUID], runtime: NamedDependency[Runtime]) -> Collaboration:
    """One collaboration; how the votes stand is told once it is closed."""
    return await find_collaboration(runtime, collaboration_id)


async def find_collaboration(runtime: Runtime, collaboration_id: UUID) -> Collaboration:
    found = await runtime.knowledge.collaboration(collaboration_id)
    if found is None:
        raise not_found("collaboration")
    return found


@patch("/v1/collaborations/{collaboration_id:uuid}", guards=[requires("submit")])
async def change_collaboration(
    request: Body,
    collaboration_id: FromPath[UUID],
    data: JSONBody[CollaborationPatch],
    runtime: NamedDependency[Runtime],
    if_match: IfMatch = None,
) -> Collaboration:
    """Members tell the `progress`; whoever opened it also changes `title` and `deadline`, while it is open."""
    principal, changes, version = caller(request), data, None
    if if_match is not None:
        current = await find_collaboration(runtime, collaboration_id)
        version = current.version if check_if_match(request, current) else None
    if not isinstance(data.deadline, UnsetType):
        changes = msgspec.structs.replace(data, deadline=checked_deadline(data.deadline, datetime.now(UTC)))
    command = CollaborationUpdate(
        command_id=new_id(),
        id=collaboration_id,
        principal=principal.name,
        operator="operate" in principal.scopes,
        version=version,
        changes=changes,
    )
    return await find_collaboration(runtime, await runtime.command(COLLABORATION_UPDATE, command, UUID))


@post("/v1/collaborations/{collaboration_id:uuid}/join", status_code=200, guards=[requires("vote")])
async def join_collaboration(
    request: Body,
    collaboration_id: FromPath[UUID],
    data: JSONBody[JoinBody],
    runtime: NamedDependency[Runtime],
    idempotency_key: IdempotencyKey = None,
) -> Collaboration:
    """Only those who joined propose and vote. To join again changes nothing."""
    principal = caller(request)
    check_agent(principal, data.agent_id)
    command = CollaborationJoin(
        command_id=command_id(principal, f"/v1/collaborations/{collaboration_id}/join", idempotency_key),
        id=collaboration_id,
        principal=principal.name,
        agent_id=data.agent_id,
    )
    return await find_collaboration(runtime, await runtime.command(COLLABORATION_JOIN, command, UUID))


@post("/v1/collaborations/{collaboration_id:uuid}/solutions", status_code=201, guards=[requires("submit")])
async def propose_solution(
    request: Body,
    collaboration_id: FromPath[UUID],
    data: JSONBody[SolutionBody],
    runtime: NamedDependency[Runtime],
    idempotency_key: IdempotencyKey = None,
) -> Response[Solution]:
    """A solution to vote on. What holds a secret or an order to its readers is refused."""
    principal = caller(request)
    check_agent(principal, data.agent_id)
    path = f"/v1/collaborations/{collaboration_id}/solutions"
    identity, fields = command_id(principal, path, idempotency_key), msgspec.structs.asdict(data)
    command = SolutionPropose(id=identity, collaboration_id=collaboration_id, principal=principal.name, **fields)
    await runtime.command(COLLABORATION_PROPOSE, command, UUID)
    found = await find_collaboration(runtime, collaboration_id)
    solution = next(solution for solution in found.solutions if solution.id == identity)
    return Response(solution, status_code=201, headers={"Location": f"/v1/collaborations/{collaboration_id}"})


@put("/v1/collaborations/{collaboration_id:uuid}/solutions/{solution_id:uuid}/vote", guards=[requires("vote")])
async def vote(
    request: Body,
    collaboration_id: FromPath[UUID],
    solution_id: FromPath[UUID],
    data: JSONBody[VoteBody],
    runtime: NamedDependency[Runtime],
) -> Collaboration:
    """The principal's one vote on this solution, changeable until the collaboration is closed; it may close it."""
    command = SolutionVote(
        command_id=new_id(),
        collaboration_id=collaboration_id,
        solution_id=solution_id,
        principal=caller(request).name,
        value=data.value,
        reason=data.reason,
    )
    return await find_collaboration(runtime, await runtime.command(COLLABORATION_VOTE, command, UUID))
