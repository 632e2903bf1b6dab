"""`POST /v1/confidence` without routing: decoded here, and asked together with whoever asks meanwhile.

Whatever is out of the ordinary is left to the route, which then says what is wrong with it.
"""

import msgspec

from services.gateway.bodies import ConfidenceBody
from services.gateway.exchange import Exchange
from services.gateway.finishing import coded
from services.gateway.keys import Principal
from services.gateway.predictions import Ahead, Predictions, Question, question_of
from services.gateway.problems import ApiError
from services.gateway.representation import COMMON, Answer
from services.gateway.submission import candidate, check_change
from shared.flags import Flags

PATH = "/v1/confidence"
MAX_BYTES = 64 << 10
JSON = b"application/json"
HEADERS = [(b"content-type", JSON), *COMMON]
EXPLAIN = {b"": False, b"explain=false": False, b"explain=true": True}

_decoder = msgspec.json.Decoder(ConfidenceBody)


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

    async def question(self, exchange: Exchange, principal: Principal) -> tuple[ConfidenceBody, Question] | None:
        """None for what the route has to refuse. The body can be read again."""
        data = await _read(exchange)
        exchange.read_again(data)
        try:
            body = _decoder.decode(data)
            return body, question_of(candidate(principal, body, EXPLAIN[exchange.query]))
        except (msgspec.MsgspecError, UnicodeDecodeError, ApiError):
            return None

    def ahead(self, body: ConfidenceBody, question: Question) -> Ahead | None:
        """Asks scoring while the limiter still decides, if the answer will most likely be wanted."""
        return self._predictions.ahead(question) if self._predictions.is_new(question) and _right(body) else None

    def keys(self, question: Question, ahead: Ahead | None) -> tuple[str, ...]:
        """What is to be read meanwhile. Whose answer is on its way needs no older one."""
        return question.keys if ahead is None else question.keys[:1]

    async def answer(
        self, exchange: Exchange, body: ConfidenceBody, question: Question, ahead: Ahead | None
    ) -> Answer | None:
        """Raises `ApiError` for what scoring refuses; None for what the route has to refuse."""
        said = self._predictions.known(exchange.found)
        if said is None:
            if ahead is None and not _right(body):
                return None
            said = await self._predictions.ask(question, exchange.found, ahead)
        return coded(200, HEADERS, said, exchange.asked.accept)


def _right(body: ConfidenceBody) -> bool:
    try:
        check_change(body)
    except ApiError:
        return False
    return True


def _length(header: bytes | None) -> int:
    return int(header) if header is not None and header.isdigit() else MAX_BYTES + 1


async def _read(exchange: Exchange) -> bytes:
    body = bytearray()
    while True:
        message = await exchange.receive()
        body += message.get("body", b"")
        if message["type"] != "http.request" or not message.get("more_body"):
            return bytes(body)
