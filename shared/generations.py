"""Which cached answers are still true: each was read under generations, and a change moves those that it touches.

A generation is a random word in Redis. Whoever commits a change moves the generations of what it touched, after the
commit and before anybody is told; a reader takes them before its query, and what it read serves for as long as they
stay what they were. Ids share generations by bucket, so that their number is bounded and none of them needs an end.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Collection, Iterable, Sequence
from uuid import UUID

from shared.contracts.commands import (
    COLLABORATION_JOIN,
    COLLABORATION_OPEN,
    COLLABORATION_PROPOSE,
    COLLABORATION_UPDATE,
    COLLABORATION_VOTE,
    CORRECT,
    LEARNING_CREATE,
    LEARNING_DELETE,
    LEARNING_RELEASE,
    LEARNING_UPDATE,
    THRESHOLDS_SET,
)
from shared.contracts.envelope import Envelope
from shared.contracts.fixes import FixCategorized, FixScored, OutcomeRecorded
from shared.contracts.knowledge import CollaborationChanged, LearningChanged
from shared.contracts.models import ModelPromoted
from shared.redis_connections import AWAY, RedisConnections

FIXES, LEARNINGS, COLLABORATIONS = "fixes", "learnings", "collaborations"
PREDICTIONS, STATS, HANDBOOK = "predictions", "stats", "handbook"

# What an event speaks of, by its subject; `ce-subject` is the entity.
SPOKEN_OF = {
    FixScored.SUBJECT: FIXES,
    FixCategorized.SUBJECT: FIXES,
    OutcomeRecorded.SUBJECT: FIXES,
    LearningChanged.SUBJECT: LEARNINGS,
    CollaborationChanged.SUBJECT: COLLABORATIONS,
    ModelPromoted.SUBJECT: PREDICTIONS,
}
# What a command changes, and the field that says which one.
COMMANDED = {
    CORRECT: (FIXES, "fix_id"),
    LEARNING_CREATE: (LEARNINGS, "id"),
    LEARNING_UPDATE: (LEARNINGS, "id"),
    LEARNING_DELETE: (LEARNINGS, "id"),
    LEARNING_RELEASE: (LEARNINGS, "id"),
    COLLABORATION_OPEN: (COLLABORATIONS, "id"),
    COLLABORATION_JOIN: (COLLABORATIONS, "id"),
    COLLABORATION_UPDATE: (COLLABORATIONS, "id"),
    COLLABORATION_PROPOSE: (COLLABORATIONS, "collaboration_id"),
    COLLABORATION_VOTE: (COLLABORATIONS, "collaboration_id"),
    # A prediction carries the decision that follows from it.
    THRESHOLDS_SET: (PREDICTIONS, "repository"),
}
CONNECTIONS = 4
TIMEOUT_SECONDS = 0.25
SETTLE_SECONDS = 0.5

log = logging.getLogger(__name__)


def every(what: str) -> str:
    """The generation that any change of `what` moves: of lists, and of what has no id."""
    return f"gen:{what}"


def one(what: str, entity: UUID | str) -> str:
    """The generation of one entity. Ids end in random bits; 4096 buckets each."""
    return f"gen:{what}:{str(entity)[-3:]}"


def touched_by(envelope: Envelope) -> tuple[str, ...]:
    what = SPOKEN_OF.get(envelope.subject)
    return () if what is None else (every(what), one(what, envelope.headers["ce-subject"]))


def touched_by_command(subject: str, command: object) -> tuple[str, ...]:
    if subject not in COMMANDED:
        return ()
    what, field = COMMANDED[subject]
    return every(what), one(what, getattr(command, field))


def new_word() -> bytes:
    return os.urandom(8).hex().encode()


class Generations:
    """Moves generations, and remembers those it could not move while Redis was away."""

    def __init__(self, url: str) -> None:
        self._connections = RedisConnections(url, CONNECTIONS, TIMEOUT_SECONDS)
        # Hear what moves, whether Redis is there or not.
        self.listeners: list[Callable[[Collection[str]], None]] = []
        # Bounded: there are no more than the buckets.
        self._owed: set[str] = set()

    async def moved(self, keys: Iterable[str]) -> None:
        """Never raises. With Redis away they are owed, and nobody waits for each of them: `settle` tries again."""
        wanted = set(keys)
        for listen in self.listeners:
            listen(wanted)
        if self._owed:
            self._owed |= wanted
        elif wanted:
            await self._move(wanted)

    async def keep(self) -> None:
        """Runs until cancelled."""
        while True:
            await asyncio.sleep(SETTLE_SECONDS)
            await self.settle()

    async def settle(self) -> None:
        """Moves what is owed."""
        if self._owed:
            # What a change owes from here on is its own: this move may come before its commit.
            owed, self._owed = self._owed, set()
            await self._move(owed)

    async def _move(self, keys: set[str]) -> None:
        try:
            word = new_word()
            await self._connections.ask(("MSET", *(part for key in keys for part in (key, word))))
        except AWAY as error:
            self._owed |= keys
            log.warning("Redis is away, %d generations are moved later: %s", len(self._owed), error)

    async def of(self, keys: Sequence[str]) -> tuple[bytes, ...] | None:
        """The present generations; one that Redis has lost begins anew, so that nothing older matches it.

        None while Redis is away.
        """
        try:
            *_, found = await self._connections.ask(*(("SET", key, new_word(), "NX") for key in keys), ("MGET", *keys))
        except AWAY:
            return None
        return tuple(found)

    async def close(self) -> None:
        await self._connections.close()
