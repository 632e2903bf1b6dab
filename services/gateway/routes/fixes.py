"""`/v1/fixes`: hand in, ask, correct."""

from typing import Annotated, Any
from uuid import UUID

from litestar import Request, Response, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, HeaderParameter, JSONBody

from services.gateway import served
from services.gateway.bodies import CorrectionBody, FixBody
from services.gateway.bulk import Bulk, Duplex
from services.gateway.cache import keep_out_of_cache
from services.gateway.conditional import check_if_match
from services.gateway.filters import Filter, IdempotencyKey, IfMatch, InstantText, Words, instant, search
from services.gateway.guards import caller, requires
from services.gateway.intake import MARKER, finished, preferences
from services.gateway.paging import DEFAULT_LIMIT, Cursor, FieldNames, Limit, after, page
from services.gateway.problems import ApiError, invalid, not_found
from services.gateway.runtime import Runtime
from services.gateway.views import Accepted, Fix, Page
from shared.contracts.commands import CORRECT, Correction
from shared.contracts.fixes import Category, FixStatus
from shared.ids import fix_id as named_fix_id
from shared.ids import new_id

Prefer = Annotated[
    str | None,
    HeaderParameter(
        name="Prefer", required=False, max_length=200, description="`wait=N`: answer once scored, N ≤ 30 s."
    ),
]
Body = Request[Any, Any, Any]


@post("/v1/fixes", status_code=202, guards=[requires("submit")])
async def submit_fix(
    request: Body,
    data: JSONBody[FixBody],
    runtime: NamedDependency[Runtime],
    idempotency_key: IdempotencyKey = None,
    prefer: Prefer = None,
) -> Response[Fix | Accepted]:
    """Hands in a fix. `202` once it is on disk, `201` with the answer for `Prefer: wait=N`, `200` for a repeat."""
    # `prefer` is described and checked; of several headers it is but one.
    preferred = preferences(request.scope["headers"])
    intake = runtime.intake
    handed_in = intake.handed_in(caller(request), data, idempotency_key, preferred)
    taken = await intake.take(handed_in, accepted=await intake.accepted(handed_in))
    return Response(taken.body, status_code=taken.status, headers={"Location": taken.location})


# No limit on the body: it is read a chunk at a time, and each line has its own.
@post(
    "/v1/fixes/bulk",
    status_code=200,
    guards=[requires("operate")],
    media_type="application/x-ndjson",
    request_max_body_size=None,
)
async def submit_bulk(request: Body, runtime: NamedDependency[Runtime]) -> Duplex:
    """NDJSON in, one fix of the past a line, with its `outcome` where known; NDJSON out, one answer a line."""
    bulk = Bulk(runtime, caller(request))
    return Duplex(iterator=bulk.answers(request.stream()), media_type="application/x-ndjson", status_code=200)


@get("/v1/fixes", guards=[requires("read")])
async def list_fixes(
    request: Body,
    runtime: NamedDependency[Runtime],
    agent_id: Filter = None,
    repository: Filter = None,
    external_id: Filter = None,
    category: FromQuery[Category | None] = None,
    status: FromQuery[FixStatus | None] = None,
    domain: Filter = None,
    since: InstantText = None,
    until: InstantText = None,
    q: Words = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
    fields: FieldNames = None,
) -> Response[Page[Fix]]:
    """Fixes. The newest first."""
    wanted: dict[str, Any] = {
        "agent_id": agent_id, "repository": repository, "category": category, "status": status, "domain": domain,
        "since": instant("since", since), "until": instant("until", until),
        "q": search(q), "external_id": external_id,
    }  # fmt: skip
    served.FIXES.check(wanted)
    if wanted.pop("external_id") is not None:
        if repository is None:
            raise invalid("external_id", "is a name within a repository: send repository too")
        wanted["id"] = named_fix_id(repository, str(external_id))
    listing = await runtime.queries.fixes(wanted, after(request, cursor), limit)
    return page(request, listing, fields, Fix)


@get("/v1/fixes/{fix_id:uuid}", guards=[requires("read")])
async def get_fix(request: Body, fix_id: FromPath[UUID], runtime: NamedDependency[Runtime]) -> Fix:
    """One fix. Its status is told from the first moment."""
    fix = await find_fix(runtime, fix_id)
    if not finished(fix) or fix.status_reason is not None:
        keep_out_of_cache(request.scope)
    return fix


async def find_fix(runtime: Runtime, fix_id: UUID) -> Fix:
    found = await runtime.queries.fix(fix_id)
    if found is not None:
        return found
    accepted = await runtime.markers.has(MARKER, fix_id)
    if accepted:
        return Fix(id=fix_id, status="accepted")
    if accepted is None:
        raise ApiError(404, "not_yet_visible", "not stored, and nobody knows whether it is on its way")
    raise not_found("fix")


@patch("/v1/fixes/{fix_id:uuid}", guards=[requires("report")])
async def correct_fix(
    request: Body,
    fix_id: FromPath[UUID],
    data: JSONBody[CorrectionBody],
    runtime: NamedDependency[Runtime],
    if_match: IfMatch = None,
) -> Fix:
    """A correction of the category, kept beside the prediction."""
    revision = None
    if if_match is not None:
        # Before the fix, so that whatever changes from here on is another revision, if not another tag already.
        seen = await runtime.queries.revision(fix_id)
        revision = seen if check_if_match(request, await find_fix(runtime, fix_id)) else None
    correction = Correction(
        command_id=new_id(), fix_id=fix_id, category=data.category, principal=caller(request).name, revision=revision
    )
    await runtime.command(CORRECT, correction, UUID)
    return await find_fix(runtime, fix_id)
