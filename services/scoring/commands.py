"""What scoring answers at once: how likely a change is to hold, and what is decided on such numbers."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

import asyncpg
import msgspec
from nats.aio.msg import Msg

from services.scoring.answers import Answers
from services.scoring.domain import Change, Known, known_of, measured
from services.scoring.history import Event
from services.scoring.recent import Recent
from services.scoring.store import Store
from shared.bus import Bus
from shared.contracts.commands import (
    Candidate,
    Problem,
    Reply,
    ThresholdsSet,
)
from shared.errors import PermanentError, words_of
from shared.features.fix_type import normalize_fix_type
from shared.features.history import Key, Past, history_of

# From one replica to all of them, over core NATS: read them again.
THRESHOLDS_CHANGED = "thresholds.changed.v1"
# Of a change that nobody stores.
NO_ID = UUID(int=0)

# Of a type that is no class, msgspec makes a new decoder for every message.
decode_candidates = msgspec.json.Decoder(list[Candidate]).decode
log = logging.getLogger(__name__)


class Commands:
    def __init__(self, store: Store, answers: Answers, bus: Bus, now: Callable[[], datetime]) -> None:
        self._store, self._answers, self._bus, self._now = store, answers, bus, now
        self._recent = Recent(self._past, time.monotonic)

    async def confidence(self, message: Msg) -> bytes:
        """A list of candidates in, a list of replies out, in order."""
        candidates = decode_candidates(message.data)
        now = self._now()
        replies: dict[int, Reply] = {}
        changes: dict[int, Change] = {}
        for i, candidate in enumerate(candidates):
            try:
                changes[i] = candidate_change(candidate, now)
            except PermanentError as error:
                detail = str(error.__cause__ or error)  # the field is named beside it
                problem = Problem(status=400, code="invalid_diff", detail=detail, field="diff")
                replies[i] = Reply(problem=problem)
        wanted = list(changes.values())
        answers = dict(zip(changes, self._answers(wanted, await self._known(wanted)), strict=True))
        asked = [i for i in answers if candidates[i].explain]
        explained = dict(zip(asked, await self._answers.explained([answers[i] for i in asked]), strict=True))
        for i, answer in answers.items():
            replies[i] = Reply(value=msgspec.Raw(msgspec.json.encode(explained.get(i, answer.confidence))))
        return msgspec.json.encode([replies[i] for i in range(len(candidates))])

    async def _known(self, changes: Sequence[Change]) -> list[Known]:
        """Each candidate on its own: candidates are not each other's past, but many of them have the same one."""
        owners = [*map(whose, changes)]
        alike = dict(zip(owners, changes, strict=True))
        events = [change.event() for change in alike.values()]
        try:
            stored = await self._recent.pasts(events)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            log.warning("answering without history: %s", words_of(error))
            return [known_of(None, change.as_of) for change in changes]
        histories = [history_of(event.keys, past) for event, past in zip(events, stored, strict=True)]
        known = [known_of(history, event.as_of) for history, event in zip(histories, events, strict=True)]
        found = dict(zip(alike, known, strict=True))
        return [found[owner] for owner in owners]

    async def _past(self, event: Event) -> Mapping[Key, Past]:
        [found], _ = await self._store.pasts([event])
        return found

    async def set_thresholds(self, message: Msg) -> bytes:
        """In force here before the answer, and elsewhere as soon as the other replicas hear of it."""
        command = msgspec.json.decode(message.data, type=ThresholdsSet)
        if not 0 <= command.block < command.auto_merge <= 1:
            detail = "0 ≤ block < auto_merge ≤ 1"
            return msgspec.json.encode(Reply(problem=Problem(status=400, code="invalid_request", detail=detail)))
        await self._store.set_thresholds(command)
        await self.load_thresholds()
        await self._bus.nc.publish(THRESHOLDS_CHANGED, b"")
        return msgspec.json.encode(Reply(value=msgspec.Raw(msgspec.json.encode(command))))

    async def thresholds_changed(self, _: Msg) -> None:
        await self.load_thresholds()

    async def load_thresholds(self) -> None:
        await self._answers.decide_by(await self._store.thresholds())


def whose(change: Change) -> tuple[str, str | None, str, tuple[str, ...]]:
    """Candidates that are equal here share their past."""
    return change.repository, change.author, change.agent_id, change.paths


def candidate_change(candidate: Candidate, now: datetime) -> Change:
    """Raises `PermanentError` for a diff that is none."""
    features, paths = measured(candidate)
    return Change(
        id=NO_ID,
        agent_id=candidate.agent_id,
        repository=candidate.repository,
        author=candidate.author,
        fix_type=normalize_fix_type(candidate.fix_type),
        signals=candidate.signals,
        as_of=now,
        features=features,
        paths=paths,
    )
