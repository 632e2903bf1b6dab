"""Everything scoring hears and says on the bus."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from uuid import UUID

import asyncpg
import msgspec
from nats.aio.msg import Msg

from services.scoring.domain import LOW_EVIDENCE, Change, Thresholds, change_of, decide, evidence_of, vector_of
from services.scoring.history import Event, Key, histories
from services.scoring.metrics import ScoringMetrics
from services.scoring.model import Model, Slot, explain_formula
from services.scoring.outcomes import Judgement, Report
from services.scoring.store import Scored, Store
from shared.bus import Bus
from shared.contracts.commands import CONFIDENCE, Candidate, Confidence, ExplainedConfidence, Problem, Reply
from shared.contracts.envelope import Envelope, unseal
from shared.contracts.fixes import (
    FixCategorized,
    FixImported,
    FixScored,
    FixSubmitted,
    OutcomeRecorded,
    OutcomeReported,
)
from shared.contracts.models import ModelPromoted
from shared.database import Database
from shared.delivery import Delivery, event_id_of, subject_of
from shared.errors import PermanentError
from shared.features.history import History, Past
from shared.features.vector import FEATURE_SET
from shared.grouping import Grouper
from shared.ids import derived_id
from shared.lane import Lane
from shared.outbox import Outbox
from shared.telemetry import trace_headers

TOP_CONTRIBUTIONS = 12

log = logging.getLogger(__name__)


def utc_now() -> datetime:
    return datetime.now(UTC)


class Heard(msgspec.Struct, frozen=True):
    """A submission, the id of its message, and what is scored of it."""

    event_id: UUID
    fix: FixSubmitted
    change: Change
    event: Event
    trace: dict[str, str]


@dataclass
class Handlers:
    store: Store
    slot: Slot
    outbox: Outbox
    bus: Bus
    metrics: ScoringMetrics
    now: Callable[[], datetime] = utc_now
    thresholds: dict[str, Thresholds] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._submissions = Grouper(self.score_group)
        self._reports = Grouper(self.report_group)
        self._categories = Grouper(self.categorize_group)

    def register(self, delivery: Delivery) -> None:
        bus = self.bus
        bus.hear_work(FixSubmitted.SUBJECT)(delivery.of(FixSubmitted, self.submitted, self.given_up))
        bus.hear_work(FixCategorized.SUBJECT)(delivery.of(FixCategorized, self.categorized))
        bus.hear_work(OutcomeReported.SUBJECT)(delivery.of(OutcomeReported, self.reported))
        bus.hear_all(ModelPromoted.SUBJECT)(self.promoted)
        bus.answer(CONFIDENCE)(self.confidence)

    def imports(self, delivery: Delivery, database: Database) -> Lane:
        """Imports are scored in time order, so one replica at a time takes them."""
        handle = delivery.of(FixImported, self.submitted, self.given_up)
        return Lane(self.bus, database, FixImported.SUBJECT, handle)

    async def submitted(self, fix: FixSubmitted, message: Msg) -> None:
        change = change_of(fix, self.now())
        await self._submissions.submit(Heard(event_id_of(message), fix, change, change.event(), trace_headers()))

    async def reported(self, event: OutcomeReported, message: Msg) -> None:
        fields = {name: getattr(event, name) for name in Report.__struct_fields__}
        await self._reports.submit((event_id_of(message), Report(**fields), trace_headers()))

    async def categorized(self, event: FixCategorized, message: Msg) -> None:
        await self._categories.submit((event_id_of(message), event))

    async def promoted(self, message: Msg) -> None:
        await self.slot.serve(unseal(ModelPromoted, message.data))

    async def given_up(self, message: Msg, reason: str) -> None:
        """The fix says that it was given up, and so does an event."""
        try:
            fix = unseal(FixSubmitted, message.data)
        except msgspec.MsgspecError:
            fix = None
        fix_id = fix.id if fix else subject_of(message)
        if fix_id is None:
            return
        rejected = FixScored(
            id=fix_id,
            agent_id=fix.agent_id if fix else "",
            repository=fix.repository if fix else "",
            status="rejected",
            status_reason=reason,
            scored_at=self.now(),
        )
        await self.outbox.publish(await self.store.reject(fix_id, fix, reason, [self.bus.seal(rejected)]))

    async def score_group(self, heard: Sequence[Heard]) -> Sequence[None]:
        """In time order, so that each fix knows the ones of the same group that came before it."""
        group = sorted(heard, key=lambda h: (h.change.as_of, h.fix.id))
        pasts, known = await self.store.pasts([h.event for h in group], [h.fix.id for h in group])
        new = {h.fix.id: (h, past) for h, past in zip(group, pasts, strict=True) if h.fix.id not in known}
        scored = self._score(list(new.values()))
        traces = {h.fix.id: h.trace for h in group}
        said = [self.bus.seal(scored_event(s), traces[s.fix.id]) for s in scored]
        events = {fix_id: h.event for fix_id, (h, _) in new.items()}
        reports = [report for h in group if (report := imported_outcome(h.fix, self.now()))]
        announce = partial(self.announce, traces)
        written, decided = await self.store.record(scored, events, said, [h.event_id for h in group], reports, announce)
        await self.outbox.publish([e for e, s in zip(said, scored, strict=True) if s.fix.id in written] + decided)
        for item in scored:
            if item.fix.id in written:
                self.metrics.scored(item)
        return [None] * len(heard)

    def _score(self, heard: Sequence[tuple[Heard, Mapping[Key, Past]]]) -> list[Scored]:
        """Of each fix, with the stored past of its keys."""
        known = histories([h.event for h, _ in heard], [past for _, past in heard])
        answers = self.answers([h.change for h, _ in heard], known)
        return [
            Scored(
                fix=h.fix,
                event_id=h.event_id,
                paths=h.change.paths,
                scored_at=self.now(),
                features=vector,
                feature_set=FEATURE_SET,
                as_of=h.change.as_of,
                confidence=a.confidence,
                source=a.source,
                degraded=a.degraded,
                model_version=a.model_version,
                evidence=a.evidence,
                low_evidence=a.low_evidence,
                decision=a.decision,
            )
            for (h, _), (a, vector) in zip(heard, answers, strict=True)
        ]

    def answers(
        self, changes: Sequence[Change], known: Sequence[History | None]
    ) -> list[tuple[Confidence, list[float]]]:
        """The confidence of each change, and the vector behind it. Without history (None) the answer is degraded."""
        vectors = [vector_of(c, h) for c, h in zip(changes, known, strict=True)]
        # A second look without the submitter's claims, where there are any: they alone must not merge anything.
        unclaimed = [vector_of(c, h, with_signals=False) for c, h in zip(changes, known, strict=True) if c.signals]
        started = time.perf_counter()
        predictions = self.slot.predict([*vectors, *unclaimed])
        self.metrics.inference.observe(time.perf_counter() - started)
        without = iter(predictions[len(vectors) :])
        answers = []
        for change, history, p, vector in zip(changes, known, predictions, vectors, strict=False):
            evidence = evidence_of(history)
            doubted = next(without).confidence if change.signals else p.confidence
            limits = self.thresholds.get(change.repository) or self.thresholds[""]
            answer = Confidence(
                confidence=p.confidence,
                source=p.source,
                degraded=p.source == "formula" or history is None,
                model_version=p.model_version,
                evidence=evidence,
                low_evidence=None if evidence is None else evidence < LOW_EVIDENCE,
                decision=decide(p.confidence, doubted, limits),
            )
            answers.append((answer, vector))
        return answers

    async def report_group(self, heard: Sequence[tuple[UUID, Report, dict[str, str]]]) -> Sequence[None]:
        reports = [report for _, report, _ in heard]
        announce = partial(self.announce, {report.fix_id: trace for _, report, trace in heard})
        envelopes = await self.store.report(reports, [event_id for event_id, _, _ in heard], announce)
        await self.outbox.publish(envelopes)
        return [None] * len(heard)

    async def categorize_group(self, heard: Sequence[tuple[UUID, FixCategorized]]) -> Sequence[None]:
        await self.store.categorize(heard)
        return [None] * len(heard)

    def announce(self, traces: Mapping[UUID, dict[str, str]], judged: Sequence[Judgement]) -> list[Envelope]:
        """What is said of each outcome that was decided on. `traces` are by fix."""
        decided = [j for j in judged if j.state != "pending"]
        return [self.bus.seal(recorded_event(j), traces.get(j.report.fix_id)) for j in decided]

    async def confidence(self, message: Msg) -> bytes:
        """A list of candidates in, a list of replies out, in order."""
        candidates = msgspec.json.decode(message.data, type=list[Candidate])
        replies: list[Reply | None] = [None] * len(candidates)
        changes: list[tuple[int, Change]] = []
        for i, candidate in enumerate(candidates):
            try:
                changes.append((i, candidate_change(candidate, self.now())))
            except PermanentError as error:
                problem = Problem(status=400, code="invalid_diff", detail=str(error), field="diff")
                replies[i] = Reply(problem=problem)
        known = await self._known([change for _, change in changes])
        answers = self.answers([change for _, change in changes], known)
        for (i, _), (answer, vector) in zip(changes, answers, strict=True):
            explained = self._explain(answer, vector) if candidates[i].explain else answer
            replies[i] = Reply(value=msgspec.Raw(msgspec.json.encode(explained)))
        return msgspec.json.encode(replies)

    async def _known(self, changes: Sequence[Change]) -> Sequence[History | None]:
        """Each candidate on its own: candidates are not each other's past."""
        try:
            stored, _ = await self.store.pasts([change.event() for change in changes])
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            log.warning("answering without history: %s", error)
            return [None] * len(changes)
        return [histories([c.event()], [past])[0] for c, past in zip(changes, stored, strict=True)]

    def _explain(self, answer: Confidence, vector: Sequence[float]) -> Confidence:
        model: Model | None = self.slot.current
        if answer.source == "formula":
            base, effects = explain_formula(vector)
        elif model is not None and model.version == answer.model_version:
            base, effects = model.explain(vector)
        else:  # swapped in between: no explanation is better than another model's
            return answer
        return ExplainedConfidence(
            **msgspec.structs.asdict(answer), base_value=base, contributions=tuple(effects[:TOP_CONTRIBUTIONS])
        )

    async def settle_waiting(self) -> None:
        """Outcomes that still wait: for a fix that is here after all, or for one that will not come."""
        announce = partial(self.announce, {})
        await self.outbox.publish(await self.store.report_missed(announce))
        reason = "unknown_fix: nobody handed in this fix within a day"
        await self.outbox.publish(await self.store.refuse_overdue(reason, announce))


def candidate_change(candidate: Candidate, now: datetime) -> Change:
    return change_of(
        FixSubmitted(
            id=derived_id("candidate"),
            principal="",
            agent_id=candidate.agent_id,
            repository=candidate.repository,
            author=candidate.author,
            fix_type=candidate.fix_type,
            signals=candidate.signals,
            diff=candidate.diff,
            features=candidate.features,
            submitted_at=now,
        ),
        now,
    )


def imported_outcome(fix: FixSubmitted, now: datetime) -> Report | None:
    """The report that an import brings with its fix: the same line again is the same report."""
    if fix.outcome is None:
        return None
    kind, observed_at, detail = msgspec.structs.astuple(fix.outcome)
    return Report(
        outcome_id=derived_id("outcome", str(fix.id), fix.principal, kind, observed_at.isoformat()),
        fix_id=fix.id,
        reporter=fix.principal,
        kind=kind,
        observed_at=observed_at,
        reported_at=now,
        detail=detail,
        imported=True,
    )


def scored_event(item: Scored) -> FixScored:
    return FixScored(
        id=item.fix.id,
        agent_id=item.fix.agent_id,
        repository=item.fix.repository,
        status="scored",
        scored_at=item.scored_at,
        confidence=item.confidence,
        source=item.source,
        degraded=item.degraded,
        model_version=item.model_version,
        evidence=item.evidence,
        low_evidence=item.low_evidence,
        decision=item.decision,
    )


def recorded_event(item: Judgement) -> OutcomeRecorded:
    report, subject = item.report, item.subject
    return OutcomeRecorded(
        outcome_id=report.outcome_id,
        fix_id=report.fix_id,
        kind=report.kind,
        observed_at=report.observed_at,
        accepted=item.state == "accepted",
        refused_reason=item.refused_reason,
        agent_id=subject.agent_id if subject else None,
        repository=subject.repository if subject else None,
        status=item.status,
        learning_ids=subject.learning_ids if subject else (),
        revision=item.revision,
    )
