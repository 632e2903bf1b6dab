"""`/v1/operations` and `/v1/dead-letters`: how the work goes, and what was given up."""

from collections.abc import Awaitable
from typing import Annotated, Any, TypeVar

import nats
from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import PathParameter, QueryParameter

from services.gateway.guards import requires
from services.gateway.operation_views import DeadLetter, Operations, Replayed
from services.gateway.operations import consumers, streams
from services.gateway.paging import DEFAULT_LIMIT, Limit, continued
from services.gateway.problems import bus_unavailable, not_found
from services.gateway.runtime import Runtime
from services.gateway.views import Page
from shared.dead_letters import STREAM, Letter, letters, replay
from shared.flags import FLAGS

T = TypeVar("T")
# JetStream counts to 2^64; this is more than any log holds.
MOST = 1 << 53
LetterId = Annotated[int, PathParameter(ge=1, le=MOST)]
LetterCursor = Annotated[int | None, QueryParameter(ge=1, le=MOST, description="`next_cursor` of the page before.")]


async def asked(question: Awaitable[T]) -> T:
    """What NATS answers; raises `ApiError` 503 when it does not."""
    try:
        return await question
    except (nats.errors.Error, OSError) as error:
        raise bus_unavailable() from error


@get("/v1/operations", guards=[requires("operate")])
async def get_operations(runtime: NamedDependency[Runtime]) -> Operations:
    """The state of the log, of every worker's consumer, and of this gateway."""
    if not runtime.bus.connected:
        raise bus_unavailable()
    held = await asked(streams(runtime.bus.js))
    pool = runtime.database.pool
    return Operations(
        checks=await runtime.checks(),
        streams=held,
        consumers=await asked(consumers(runtime.bus.js)),
        dead_letters=next(stream.messages for stream in held if stream.name == STREAM),
        pool={"idle": pool.get_idle_size(), "used": pool.get_size() - pool.get_idle_size()},
        event_streams=runtime.readers.count,
        flags={flag.name: runtime.flags.on(flag.name) for flag in FLAGS},
    )


@get("/v1/dead-letters", guards=[requires("operate")])
async def list_dead_letters(
    request: Request[Any, Any, Any],
    runtime: NamedDependency[Runtime],
    limit: Limit = DEFAULT_LIMIT,
    cursor: LetterCursor = None,
) -> Response[Page[DeadLetter]]:
    """Messages that workers gave up. The newest first. Where many were sent again, a page may be short and still not
    be the last.
    """
    if not runtime.bus.connected:
        raise bus_unavailable()
    found, following = await asked(letters(runtime.bus.js, cursor, limit))
    return continued(request, [view(letter) for letter in found], None if following is None else str(following))


def view(letter: Letter) -> DeadLetter:
    return DeadLetter(
        id=letter.number,
        service=letter.service,
        subject=letter.subject,
        entity_id=letter.about,
        event_id=letter.event_id,
        reason=letter.reason,
        dead_at=letter.at,
        bytes=letter.bytes,
    )


@post("/v1/dead-letters/{letter_id:int}/replay", status_code=202, guards=[requires("operate")])
async def replay_dead_letter(letter_id: LetterId, runtime: NamedDependency[Runtime]) -> Replayed:
    """Sends a dead letter again. It is then no longer here; a second call finds nothing. If it fails again, it comes
    back as another one.
    """
    if not runtime.bus.connected:
        raise bus_unavailable()
    sent = await asked(replay(runtime.bus.js, letter_id))
    if sent is None:
        raise not_found("dead letter")
    return Replayed(id=sent.number, subject=sent.subject)
