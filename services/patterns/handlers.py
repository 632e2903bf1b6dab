"""Everything patterns hears and says on the bus."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
from nats.aio.msg import Msg

from services.patterns.collaborations import Collaborations
from services.patterns.commands import answering
from services.patterns.domain import Examination, Reading, examine_all, read, read_on
from services.patterns.embedding import place_of
from services.patterns.learnings import Learnings
from services.patterns.metrics import PatternsMetrics
from services.patterns.model import Model
from services.patterns.placing import Arrival, Formed, Placing, place, place_group
from services.patterns.queries import Neighbours, Wanted
from services.patterns.ranking import rank_related
from services.patterns.store import Categorized, Store
from shared.bus import Bus
from shared.categories.tokens import read_words
from shared.contracts.commands import (
    ANALYZE,
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
    PATTERN_RELATED,
    Analysis,
    CollaborationJoin,
    CollaborationOpen,
    CollaborationUpdate,
    Correction,
    LearningCreate,
    LearningDelete,
    LearningRelease,
    LearningUpdate,
    NearPattern,
    PatternRelatedTo,
    SolutionPropose,
    SolutionVote,
    ToAnalyze,
)
from shared.contracts.envelope import Envelope, unseal
from shared.contracts.fixes import FixCategorized, FixImported, FixSubmitted, OutcomeRecorded, Related
from shared.contracts.knowledge import PatternDetected
from shared.contracts.models import ModelPromoted
from shared.database import storable
from shared.delivery import Delivery, event_id_of
from shared.diffs import Diff, DiffError, parse
from shared.errors import PermanentError, refuse
from shared.grouping import Grouper
from shared.outbox import Outbox
from shared.pull import Pull, gathered
from shared.slot import Slot
from shared.telemetry import trace_headers

# Fewer than scoring's: each fix asks the indexes for its neighbours.
MAX_GROUP = 64


def utc_now() -> datetime:
    return datetime.now(UTC)


class Heard(msgspec.Struct, frozen=True):
    event_id: UUID
    fix: FixSubmitted
    reading: Reading
    trace: dict[str, str]

    def wanted(self) -> Wanted:
        return Wanted(self.reading.embedding, self.fix.submitted_at, self.fix.repository, self.fix.id)

    def arrival(self, examined: Examination) -> Arrival:
        return Arrival(self.fix.id, self.fix.repository, self.fix.submitted_at, examined)


@dataclass
class Handlers:
    store: Store
    slot: Slot[Model]
    learnings: Learnings
    collaborations: Collaborations
    outbox: Outbox
    bus: Bus
    metrics: PatternsMetrics
    now: Callable[[], datetime] = utc_now

    def __post_init__(self) -> None:
        self._submissions = Grouper(self.categorize_group, MAX_GROUP)
        self._outcomes = Grouper(self.store.settle)

    def register(self) -> None:
        bus = self.bus
        bus.hear_all(ModelPromoted.SUBJECT)(self.promoted)
        for subject, cls, handle in self._commands():
            bus.answer(subject)(answering(cls, handle))

    def fixes(self, delivery: Delivery, after: Callable[[], Awaitable[None]]) -> list[Pull]:
        """Live ones, imports, which come `after` others, and what became of them, of which a line may bring one along.

        While a group asks Postgres for its neighbours the next ones are read.
        """
        live, imported = [delivery.of(cls, self.submitted, self.given_up) for cls in (FixSubmitted, FixImported)]
        return [
            Pull(self.bus, FixSubmitted.SUBJECT, live),
            Pull(self.bus, FixImported.SUBJECT, imported, after),
            Pull(self.bus, OutcomeRecorded.SUBJECT, delivery.of(OutcomeRecorded, self.recorded), gathered),
        ]

    def _commands(self) -> Sequence[tuple[str, type[Any], Callable[[Any], Awaitable[Any]]]]:
        """Every request that is answered: its subject, what comes in, and who carries it out."""
        learnings, collaborations = self.learnings, self.collaborations
        return (
            (ANALYZE, ToAnalyze, self.analyze),
            (CORRECT, Correction, self.correct),
            (PATTERN_RELATED, PatternRelatedTo, self.related),
            (LEARNING_CREATE, LearningCreate, learnings.create),
            (LEARNING_UPDATE, LearningUpdate, learnings.update),
            (LEARNING_DELETE, LearningDelete, learnings.delete),
            (LEARNING_RELEASE, LearningRelease, learnings.release),
            (COLLABORATION_OPEN, CollaborationOpen, collaborations.open),
            (COLLABORATION_JOIN, CollaborationJoin, collaborations.join),
            (COLLABORATION_UPDATE, CollaborationUpdate, collaborations.update),
            (COLLABORATION_PROPOSE, SolutionPropose, collaborations.propose),
            (COLLABORATION_VOTE, SolutionVote, collaborations.vote),
        )

    async def promoted(self, message: Msg) -> None:
        await self.slot.serve(unseal(ModelPromoted, message.data))

    async def submitted(self, fix: FixSubmitted, message: Msg) -> None:
        with self.metrics.analysis.time():
            reading = read(readable(fix.diff), fix.title)
        await asyncio.shield(await self._submissions.submit(Heard(event_id_of(message), fix, reading, trace_headers())))

    async def recorded(self, event: OutcomeRecorded, message: Msg) -> None:
        if event.accepted:
            await self._outcomes.submit(event.fix_id)
            await self.learnings.recorded(event, message)

    async def categorize_group(self, heard: Sequence[Heard]) -> Sequence[asyncio.Task[None]]:
        """What is said of them is on its way: the next group need not wait for that, the acknowledgements do."""
        near, examined = await asyncio.gather(
            self.store.near([h.wanted() for h in heard]), self._examined(lambda: [h.reading for h in heard])
        )
        new = {h.fix.id: (h, x, n) for h, x, n in zip(heard, examined, near, strict=True) if not n.known}
        group = sorted(new.values(), key=lambda each: (each[0].fix.submitted_at, each[0].fix.id))
        placed, formed = place_group(
            [h.arrival(x) for h, x, _ in group], [n.patterns for *_, n in group], [n.fixes for *_, n in group]
        )
        rows = [self._categorized(h.event_id, h.fix, x, p, n) for (h, x, n), p in zip(group, placed, strict=True)]
        envelopes = [self.bus.seal(categorized_event(row), h.trace) for row, (h, *_) in zip(rows, group, strict=True)]
        envelopes += [self.bus.seal(detected_event(f)) for f in formed]
        told = await self.store.record([h.event_id for h in heard], rows, formed, envelopes, self._once_more)
        saying = asyncio.create_task(self.outbox.publish(told))
        self._count(rows, len(formed))
        return [saying] * len(heard)

    async def _examined(self, read: Callable[[], Sequence[Reading]]) -> list[Examination]:
        """One turn of the loop later, for a question to go out: Postgres looks around while these are categorized."""
        await asyncio.sleep(0)
        return examine_all(read(), self.slot.current)

    def _categorized(
        self, event_id: UUID, fix: FixSubmitted, examined: Examination, placing: Placing, near: Neighbours
    ) -> Categorized:
        found = examined.categorization
        return Categorized(
            event_id=event_id,
            fix_id=fix.id,
            agent_id=fix.agent_id,
            repository=fix.repository,
            submitted_at=fix.submitted_at,
            title=fix.title,
            category=found.category,
            category_confidence=found.category_confidence,
            categories=found.probabilities,
            security_rank=found.security_rank,
            model_version=examined.model_version,
            pattern_id=placing.pattern_id,
            duplicate_of=placing.duplicate_of,
            is_new=placing.assignment.is_new,
            novelty=placing.assignment.novelty,
            related=self._related(near, examined, fix.domains),
            languages=examined.languages,
            learning_ids=fix.learning_ids,
            embedding=examined.embedding,
            settled=fix.outcome is not None,
        )

    def _related(self, near: Neighbours, examined: Examination, domains: Sequence[str]) -> tuple[Related, ...]:
        return rank_related(near.learnings, self.now(), category=examined.categorization.category, domains=domains)

    def _count(self, rows: Sequence[Categorized], patterns: int) -> None:
        for row in rows:
            self.metrics.categorized.labels(row.category).inc()
            self.metrics.duplicates.inc(row.duplicate_of is not None)
        self.metrics.patterns.inc(patterns)

    async def given_up(self, message: Msg, reason: str) -> None:
        """The fix keeps its score; that nobody could categorize it is said on it."""
        try:
            fix = unseal(FixSubmitted, message.data)
        except msgspec.MsgspecError:
            return
        row = Categorized(
            event_id=event_id_of(message),
            fix_id=fix.id,
            agent_id=storable(fix.agent_id),
            repository=storable(fix.repository),
            submitted_at=fix.submitted_at,
            title=fix.title and storable(fix.title),
            category="uncertain",
            status_reason=storable(f"not categorized: {reason}"),
        )
        # Before any prediction, so that one that succeeds later is heard.
        envelopes = [self.bus.seal(categorized_event(row, revision=-1))]
        await self.store.give_up(row, envelopes)
        await self.outbox.publish(envelopes)

    async def analyze(self, request: ToAnalyze) -> Analysis:
        started, now = time.perf_counter(), self.now()
        try:
            diff = parse(request.diff)
        except DiffError as error:
            refuse(400, "invalid_diff", str(error), field="diff")
        words = read_words(diff, request.title)
        embedding = place_of(diff, words)
        [near], [examined] = await asyncio.gather(
            self.store.near([Wanted(embedding, now, request.repository)]),
            self._examined(lambda: [read_on(diff, words, embedding)]),
        )
        arrival = Arrival(UUID(int=0), request.repository or "", now, examined)
        placing = place(arrival, near.patterns, near.fixes.values())
        found = examined.categorization
        self.metrics.analysis.observe(time.perf_counter() - started)
        return Analysis(
            category=found.category,
            category_confidence=found.category_confidence,
            categories=found.probabilities,
            security_rank=found.security_rank,
            is_new=placing.assignment.is_new,
            novelty=placing.assignment.novelty,
            # Nothing is stored, so a pattern that this change would complete has no id yet.
            pattern_id=placing.assignment.pattern_id,
            duplicate_of=placing.duplicate_of,
            related=self._related(near, examined, ()),
            languages=examined.languages,
            model_version=examined.model_version,
        )

    async def correct(self, command: Correction) -> UUID:
        await self.outbox.publish(await self.store.correct(command, self._once_more))
        return command.fix_id

    async def related(self, request: PatternRelatedTo) -> NearPattern:
        """Other patterns and learnings near this one."""
        found = await self.store.beside(request.pattern_id)
        if found is None:
            refuse(404, "not_found", "pattern: not found")
        learnings = rank_related(found.learnings, self.now(), category=found.category)
        return NearPattern(patterns=found.patterns, learnings=learnings)

    def _once_more(self, row: asyncpg.Record) -> Envelope:
        """Of a fix that was corrected, or that a new pattern has taken in."""
        return self.bus.seal(FixCategorized(**dict(row)))


def readable(diff: str | None) -> Diff:
    """A fix without a diff (features only) has no words and no paths."""
    if diff is None:
        return Diff(files=())
    try:
        return parse(diff)
    except DiffError as error:
        raise PermanentError(f"diff: {error}") from error


def categorized_event(row: Categorized, revision: int = 0) -> FixCategorized:
    return FixCategorized(
        id=row.fix_id,
        agent_id=row.agent_id,
        repository=row.repository,
        category=row.category,  # type: ignore[arg-type]
        category_confidence=row.category_confidence,
        pattern_id=row.pattern_id,
        duplicate_of=row.duplicate_of,
        is_new=row.is_new,
        model_version=row.model_version,
        revision=revision,
    )


def detected_event(formed: Formed) -> PatternDetected:
    return PatternDetected(id=formed.id, label=formed.label, category=formed.category, support=len(formed.members))
