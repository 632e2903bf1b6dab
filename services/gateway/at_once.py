"""`POST` of scores, analyses and fixes without routing: decoded here, and asked about before they are let in.

Whatever is out of the ordinary is left to the route, which then says what is wrong with it.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Annotated

import msgspec
from msgspec import Meta

from services.gateway.bodies import AnalyzeBody, ConfidenceBody, FixBody
from services.gateway.exchange import Exchange
from services.gateway.finishing import coded
from services.gateway.intake import HandedIn, Intake, preferences
from services.gateway.keys import Principal
from services.gateway.predictions import Ahead, Predictions, Question, question_of
from services.gateway.problems import ApiError, value_of
from services.gateway.representation import COMMON, Answer
from services.gateway.submission import candidate, check_form
from shared.contracts.commands import ANALYZE, Reply, ToAnalyze
from shared.features.change import CHANGE_FEATURES
from shared.flags import Flags

CONFIDENCE, ANALYSIS, FIXES = "/v1/confidence", "/v1/patterns/analyze", "/v1/fixes"
MAX_BYTES = 64 << 10
MOST_PREFERRED = 200
JSON = b"application/json"
HEADERS = [(b"content-type", JSON), *COMMON]
EXPLAIN = {b"": False, b"explain=false": False, b"explain=true": True}

# A structure is read faster than a dictionary, and checked on the way. In the order in which a dictionary's names are
# written, so that the same question has the same hash.
_claim = Annotated[float, Meta(ge=0, le=sys.float_info.max)]
Claimed = msgspec.defstruct(
    "Claimed", [(name, _claim) for name in sorted(CHANGE_FEATURES)], frozen=True, forbid_unknown_fields=True, gc=False
)
Body = msgspec.defstruct(
    "Body",
    [
        (field.name, Claimed | None if field.name == "features" else field.type, field.default)
        for field in msgspec.structs.fields(ConfidenceBody)
    ],
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
)
_decode: Callable[[bytes], ConfidenceBody] = msgspec.json.Decoder(Body).decode  # type: ignore[assignment]
_decode_analysis = msgspec.json.Decoder(AnalyzeBody).decode
_decode_fix = msgspec.json.Decoder(FixBody).decode
_decode_reply = msgspec.json.Decoder(Reply).decode


def posts(exchange: Exchange, path: str) -> bool:
    """A body of JSON in its plainest form, and not a long one."""
    asked = exchange.asked
    return (
        exchange.path == path
        and exchange.method == "POST"
        and asked.get(b"content-type") == JSON
        and b"content-encoding" not in asked
        and _length(asked.get(b"content-length")) <= MAX_BYTES
    )


class Scores:
    def __init__(self, predictions: Predictions, flags: Flags) -> None:
        self._predictions = predictions
        self._flags = flags

    def takes(self, exchange: Exchange) -> bool:
        return posts(exchange, CONFIDENCE) and exchange.query in EXPLAIN and self._flags.on("coalescing")

    async def question(self, exchange: Exchange, principal: Principal) -> Question | None:
        """None for what the route has to refuse."""
        try:
            body = _decode(await exchange.body())
            check_form(body)
            return question_of(candidate(principal, body, EXPLAIN[exchange.query]))
        except (msgspec.MsgspecError, UnicodeDecodeError, ApiError):
            return None

    def ahead(self, question: Question) -> Ahead | None:
        """Asks scoring while the limiter still decides, if the answer will most likely be wanted."""
        return self._predictions.ahead(question) if self._predictions.is_new(question) else None

    def keys(self, question: Question, ahead: Ahead | None) -> tuple[str, ...]:
        """What is to be read meanwhile. Whose answer is on its way needs no older one."""
        return question.keys if ahead is None else question.keys[:1]

    async def answer(self, exchange: Exchange, question: Question, ahead: Ahead | None) -> Answer:
        """Raises `ApiError` for what scoring refuses."""
        said = self._predictions.known(exchange.found)
        if said is None:
            said = await self._predictions.ask(question, exchange.found, ahead)
        return coded(200, HEADERS, said, exchange.asked.accept)


class Analyses:
    """What patterns says is passed on as it comes."""

    def __init__(self, ask: Callable[[str, bytes], Awaitable[bytes]]) -> None:
        self._ask = ask

    def takes(self, exchange: Exchange) -> bool:
        return posts(exchange, ANALYSIS) and not exchange.query

    async def ahead(self, exchange: Exchange) -> asyncio.Future[bytes] | None:
        """Asks patterns while the limiter still decides. None for what the route has to refuse."""
        try:
            body = _decode_analysis(await exchange.body())
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        wanted = ToAnalyze(diff=body.diff, title=body.title, repository=body.repository)
        asking = asyncio.ensure_future(self._ask(ANALYZE, msgspec.json.encode(wanted)))
        # Of who is not let in, nobody hears what became of it.
        asking.add_done_callback(lambda asked: asked.cancelled() or asked.exception())
        return asking

    async def answer(self, exchange: Exchange, ahead: asyncio.Future[bytes]) -> Answer:
        """Raises `ApiError` for what patterns refuses, and while it is away."""
        return coded(200, HEADERS, value_of(_decode_reply(await ahead)), exchange.asked.accept)


class Fixes:
    def __init__(self, intake: Intake) -> None:
        self._intake = intake

    def takes(self, exchange: Exchange) -> bool:
        return posts(exchange, FIXES) and not exchange.query and b"idempotency-key" not in exchange.asked

    async def handed_in(self, exchange: Exchange, principal: Principal) -> HandedIn | None:
        """None for what the route has to refuse. Whether it is there already is found out meanwhile."""
        preferred = preferences(exchange.scope["headers"])
        if len(preferred) > MOST_PREFERRED:
            return None
        try:
            body = _decode_fix(await exchange.body())
            return self._intake.handed_in(principal, body, None, preferred)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ApiError):
            return None

    async def answer(self, exchange: Exchange, handed_in: HandedIn) -> Answer:
        """Raises `ApiError` where it cannot be put on disk. What was found behind its keys is in the exchange."""
        taken = await self._intake.take(handed_in, accepted=any(exchange.found))
        headers = [*HEADERS, (b"location", taken.location.encode())]
        return coded(taken.status, headers, msgspec.json.encode(taken.body), exchange.asked.accept)


def _length(header: bytes | None) -> int:
    return int(header) if header is not None and header.isdigit() else MAX_BYTES + 1
