"""Everything scoring hears and says on the bus."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from uuid import UUID

import msgspec
from nats.aio.msg import Msg

from services.scoring.answers import Answers
from services.scoring.commands import THRESHOLDS_CHANGED, Commands
from services.scoring.domain import Change, change_of, known_of
from services.scoring.history import Event, histories
from services.scoring.metrics import ScoringMetrics
from services.scoring.outcomes import Judgement, Report
from services.scoring.outcomes_store import OutcomesStore
from services.scoring.store import Scored, Store
from shared.bus import Bus
from shared.contracts.commands import CONFIDENCE, THRESHOLDS_SET
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
from shared.features.history import Key, Past
from shared.features.vector import FEATURE_SET
from shared.grouping import Grouper
from shared.ids import derived_id
from shared.lane import Lane
from shared.outbox import Outbox
from shared.pull import Pull, gathered
from shared.telemetry import trace_headers

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
    outcomes: OutcomesStore
    answers: Answers
    outbox: Outbox
    bus: Bus
    metrics: ScoringMetrics
    categorized_some: Callable[[], None]
    now: Callable[[], datetime] = utc_now

    def __post_init__(self) -> None:
        self._submissions = Grouper(self.score_group)
        self._reports = Grouper(self.report_group)
        self._categories = Grouper(self.categorize_group)

    def register(self, delivery: Delivery, commands: Commands) -> None:
        bus = self.bus
        bus.hear_work(OutcomeReported.SUBJECT)(delivery.of(OutcomeReported, self.reported))
        bus.hear_all(ModelPromoted.SUBJECT)(self.promoted)
        bus.hear_all(THRESHOLDS_CHANGED)(commands.thresholds_changed)
        bus.answer(CONFIDENCE)(commands.confidence)
        bus.answer(THRESHOLDS_SET)(commands.set_thresholds)

    def fixes(self, delivery: Delivery) -> list[Pull]:
        """What comes with every fix."""
        return [
            Pull(self.bus, FixSubmitted.SUBJECT, delivery.of(FixSubmitted, self.submitted, self.given_up)),
            # Nobody waits for it to stand beside the score: it is told from where patterns keeps it. By then the fix of
            # most is here, and its row is written once and changed once.
            Pull(self.bus, FixCategorized.SUBJECT, delivery.of(FixCategorized, self.categorized), gathered),
        ]

    def imports(self, delivery: Delivery, database: Database) -> Lane:
        """Imports are scored in time order, so one replica at a time takes them."""
        handle = delivery.of(FixImported, self.submitted, self.given_up)
        return Lane(self.bus, database, FixImported.SUBJECT, handle)

    async def submitted(self, fix: FixSubmitted, message: Msg) -> None:
        change = change_of(fix, self.now())
        heard = Heard(event_id_of(message), fix, change, change.event(), trace_headers())
        await asyncio.shield(await self._submissions.submit(heard))

    async def reported(self, event: OutcomeReported, message: Msg) -> None:
        fields = {name: getattr(event, name) for name in Report.__struct_fields__}
        await self._reports.submit((event_id_of(message), Report(**fields), trace_headers()))

    async def categorized(self, event: FixCategorized, message: Msg) -> None:
        await self._categories.submit((event_id_of(message), event))

    async def promoted(self, message: Msg) -> None:
        await self.answers.serve(unseal(ModelPromoted, message.data))

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

    async def score_group(self, heard: Sequence[Heard]) -> Sequence[asyncio.Task[None]]:
        """In time order, so that each fix knows the ones of the same group that came before it.

        What is said of them is on its way: the next group need not wait for that, the acknowledgements do.
        """
        group = sorted(heard, key=lambda h: (h.change.as_of, h.fix.id))
        pasts, known = await self.store.pasts([h.event for h in group], [h.fix.id for h in group])
        new = {h.fix.id: (h, past) for h, past in zip(group, pasts, strict=True) if h.fix.id not in known}
        scored = self._score(list(new.values()))
        traces = {h.fix.id: h.trace for h in group}
        said = [self.bus.seal(scored_event(s), traces[s.fix.id]) for s in scored]
        reports = [report for h in group if (report := imported_outcome(h.fix, self.now()))]
        announce = partial(self.announce, traces)
        written, decided = await self.store.record(scored, said, [h.event_id for h in group], reports, announce)
        told = [e for e, s in zip(said, scored, strict=True) if s.fix.id in written] + decided
        saying = asyncio.create_task(self.outbox.publish(told))
        for item in scored:
            if item.fix.id in written:
                self.metrics.scored(item)
        return [saying] * len(heard)

    def _score(self, heard: Sequence[tuple[Heard, Mapping[Key, Past]]]) -> list[Scored]:
        """Of each fix, with the stored past of its keys."""
        events = [h.event for h, _ in heard]
        pasts = histories(events, [past for _, past in heard])
        known = [known_of(history, event.as_of) for history, event in zip(pasts, events, strict=True)]
        answers = self.answers([h.change for h, _ in heard], known)
        return [
            Scored(
                fix=h.fix,
                event_id=h.event_id,
                paths=h.change.paths,
                scored_at=self.now(),
                features=a.vector,
                feature_set=FEATURE_SET,
                event=h.event,
                confidence=a.confidence.confidence,
                source=a.confidence.source,
                degraded=a.confidence.degraded,
                model_version=a.confidence.model_version,
                evidence=a.confidence.evidence,
                low_evidence=a.confidence.low_evidence,
                decision=a.confidence.decision,
            )
            for (h, _), a in zip(heard, answers, strict=True)
        ]

    async def report_group(self, heard: Sequence[tuple[UUID, Report, dict[str, str]]]) -> Sequence[None]:
        reports = [report for _, report, _ in heard]
        announce = partial(self.announce, {report.fix_id: trace for _, report, trace in heard})
        envelopes = await self.outcomes.report(reports, [event_id for event_id, _, _ in heard], announce)
        await self.outbox.publish(envelopes)
        return [None] * len(heard)

    async def categorize_group(self, heard: Sequence[tuple[UUID, FixCategorized]]) -> Sequence[None]:
        await self.store.categorize(heard)
        self.categorized_some()
        return [None] * len(heard)

    def announce(self, traces: Mapping[UUID, dict[str, str]], judged: Sequence[Judgement]) -> list[Envelope]:
        """What is said of each outcome that was decided on. `traces` are by fix."""
        decided = [j for j in judged if j.state != "pending"]
        return [self.bus.seal(recorded_event(j), traces.get(j.report.fix_id)) for j in decided]

    async def settle_waiting(self) -> None:
        """Outcomes that still wait: for a fix that is here after all, or for one that will not come."""
        announce = partial(self.announce, {})
        await self.outbox.publish(await self.outcomes.report_missed(announce))
        reason = "unknown_fix: nobody handed in this fix within a day"
        await self.outbox.publish(await self.outcomes.refuse_overdue(reason, announce))


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
