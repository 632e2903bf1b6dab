"""`POST /v1/confidence` without routing: decoded here, and asked together with whoever asks meanwhile.

Whatever is out of the ordinary is left to the route, which then says what is wrong with it.
"""

import sys
from collections.abc import Callable
from typing import Annotated

import msgspec
from msgspec import Meta

from services.gateway.bodies import ConfidenceBody
from services.gateway.exchange import Exchange
from services.gateway.finishing import coded
from services.gateway.keys import Principal
from services.gateway.predictions import Ahead, Predictions, Question, question_of
from services.gateway.problems import ApiError
from services.gateway.representation import COMMON, Answer
from services.gateway.submission import candidate, check_form
from shared.features.change import CHANGE_FEATURES
from shared.flags import Flags

PATH = "/v1/confidence"
MAX_BYTES = 64 << 10
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


class Scores:
    def __init__(self, predictions: Predictions, flags: Flags) -> None:
        self._predictions = predictions
        self._flags = flags

    def takes(self, exchange: Exchange) -> bool:
        asked = exchange.asked
        return (
            exchange.path == PATH
            and exchange.method == "POST"
            and exchange.query in EXPLAIN
            and asked.get(b"content-type") == JSON
            and b"content-encoding" not in asked
            and _length(asked.get(b"content-length")) <= MAX_BYTES
            and self._flags.on("coalescing")
        )

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


def _length(header: bytes | None) -> int:
    return int(header) if header is not None and header.isdigit() else MAX_BYTES + 1
