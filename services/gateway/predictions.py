"""What `POST /v1/confidence` answers: from Redis while the model that said it is the champion, else from scoring.

A prediction is kept under `ml:confidence:{fix_hash}`, the sha256 of everything that is scored. History moves on
meanwhile, so it says of itself that it is `cached`; a promotion ends it at once. Nobody waits until it is kept.
"""

import asyncio
import contextvars
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import msgspec

from services.gateway.cache import PREDICTION, Count
from services.gateway.coalescer import Coalescer
from services.gateway.problems import value_of
from shared.contracts.commands import Candidate, Reply
from shared.ending import end
from shared.flags import Flags
from shared.generations import PREDICTIONS, Generations, every
from shared.redis_connections import AWAY, RedisConnections

CONNECTIONS = 4
# Until then what was answered is gathered, and asked for again it is answered anew.
KEEP_SECONDS = 0.05
# KEYS, then in ARGV for how many seconds, and what is kept: a pipeline packs and answers each command by itself.
KEEP = "for i, key in ipairs(KEYS) do redis.call('SET', key, ARGV[i + 1], 'EX', ARGV[1]) end"
# Of what was asked lately, so many are remembered: 1.5 MB.
MOST_ASKED = 10_000
# More than that, and Redis is slower than what is asked: it is kept another time.
MOST_UNKEPT = 4096
GENERATION = every(PREDICTIONS)

# What a kept answer says otherwise.
FROM_NOW_ON = (b'"cached":false', b'"cached":true')

_encoder = msgspec.json.Encoder(order="deterministic")
Send = Callable[[Sequence[bytes]], Awaitable[list[Reply]]]


class Question(msgspec.Struct, frozen=True):
    """An encoded candidate, and where its answer is kept."""

    encoded: bytes
    key: str

    @property
    def keys(self) -> tuple[str, str]:
        return GENERATION, self.key


class Ahead(msgspec.Struct, frozen=True):
    """The reply to a question that was asked before anybody knew whether it had to be, and the generation by then."""

    word: bytes
    reply: asyncio.Future[Reply]


class Said(msgspec.Struct, frozen=True):
    """Of an answer, what decides whether it is kept."""

    degraded: bool
    model_version: str | None


class Kept(msgspec.Struct, frozen=True, array_like=True):
    word: bytes
    model_version: str
    body: bytes


_said = msgspec.json.Decoder(Said).decode


def question_of(candidate: Candidate) -> Question:
    encoded = _encoder.encode(candidate)
    return Question(encoded, f"ml:confidence:{hashlib.sha256(encoded).hexdigest()}")


class Predictions:
    """`champion` is the version that answers now; while nobody knows it, nothing is kept."""

    def __init__(self, redis_url: str, send: Send, generations: Generations, flags: Flags, count: Count) -> None:
        self.champion: str | None = None
        self._connections = RedisConnections(redis_url, CONNECTIONS)
        self._send = send
        self._coalescer: Coalescer[bytes, Reply] = Coalescer(send, len)
        self._generations = generations
        self._flags = flags
        self._count = count
        self._unkept: dict[str, bytes] = {}
        self._asked: set[str] = set()
        # As it was found last.
        self._word: bytes | None = None
        self._keeping: asyncio.Task[None] | None = None

    @property
    def _keeps(self) -> bool:
        """Only what a model said is kept: with `model_scoring` off the formula answers, and nothing kept is told."""
        return self._flags.on("cache") and self._flags.on("model_scoring")

    async def of(self, question: Question) -> bytes:
        """The body of the answer. Raises `ApiError`."""
        found = await self.look_up(question)
        return self.known(found) or await self.ask(question, found)

    async def look_up(self, question: Question) -> Sequence[bytes | None]:
        """The values of `question.keys`, of which none is known while Redis is away."""
        if not self._keeps:
            return None, None
        try:
            [(word, data)] = await self._connections.ask(("MGET", *question.keys))
        except AWAY:
            return None, None
        return word, data

    def known(self, found: Sequence[bytes | None]) -> bytes | None:
        """The body that is still true, given the values of the question's keys, or of the first alone; counted."""
        self._word = found[0]
        body, result = self._judge(found)
        self._count(PREDICTION.name, result)
        return body

    def _judge(self, found: Sequence[bytes | None]) -> tuple[bytes | None, str]:
        word, data = found[0], found[1] if len(found) > 1 else None
        if data is None or not self._keeps:
            return None, "miss"
        try:
            kept = msgspec.msgpack.decode(data, type=Kept)
        except msgspec.MsgspecError:
            return None, "miss"
        if kept.word != word or kept.model_version != self.champion:
            return None, "invalidated"
        return kept.body, "hit"

    def is_new(self, question: Question) -> bool:
        """Not asked here lately, so that it is hardly kept anywhere; from now on it is no more."""
        if question.key in self._asked:
            return False
        if len(self._asked) == MOST_ASKED:
            self._asked.clear()
        self._asked.add(question.key)
        return True

    def ahead(self, question: Question) -> Ahead | None:
        """Asks scoring at once; None where the answer could not be kept, as no generation is known."""
        if self._word is None:
            return None
        return Ahead(self._word, self._coalescer.ask(question.encoded))

    async def ask(self, question: Question, found: Sequence[bytes | None], ahead: Ahead | None = None) -> bytes:
        """Asks scoring, or waits for what was asked `ahead`. Raises `ApiError`."""
        word = found[0]
        if ahead is not None:
            reply = await ahead.reply
            # What moved between the question and now may have come before the answer, or after it.
            word = word if word == ahead.word else None
        else:
            if word is None and self._keeps:
                [word] = await self._generations.of([GENERATION]) or (None,)
            reply = await self._ask_scoring(question.encoded)
        said = value_of(reply)
        if word is not None:
            self._keep(question, word, said)
        return said

    async def _ask_scoring(self, encoded: bytes) -> Reply:
        if self._flags.on("coalescing"):
            return await self._coalescer.ask(encoded)
        [reply] = await self._send([encoded])
        return reply

    def _keep(self, question: Question, word: bytes, body: bytes) -> None:
        """What a fallback said is not kept, nor what another model than the champion said."""
        said = _said(body)
        version = said.model_version
        if said.degraded or version is None or version != self.champion or len(self._unkept) == MOST_UNKEPT:
            return
        self._unkept[question.key] = msgspec.msgpack.encode(Kept(word, version, body.replace(*FROM_NOW_ON, 1)))
        if self._keeping is None or self._keeping.done():
            # In a context of its own: it is not part of this question's trace.
            self._keeping = asyncio.create_task(self._write(), context=contextvars.Context())

    async def _write(self) -> None:
        """What comes within a moment goes along in one trip; what Redis does not take is kept another time."""
        while self._unkept:
            await asyncio.sleep(KEEP_SECONDS)
            found, self._unkept = self._unkept, {}
            with suppress(*AWAY):
                await self._connections.ask(
                    ("EVAL", KEEP, len(found), *found.keys(), PREDICTION.ttl_seconds, *found.values())
                )

    async def close(self) -> None:
        if self._keeping is not None:
            await end([self._keeping])
        await self._connections.close()
