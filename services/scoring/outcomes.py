"""What reports make of a fix: which are refused, which one counts, what changes. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from services.scoring.history import Buckets
from shared.contracts.fixes import SETTLED, FixStatus, OutcomeKind
from shared.features.history import Key, keys_of

# Which report counts when several reporters disagree: a failure that was seen outweighs a claim that all is well.
WEIGHT: dict[str, int] = {"reverted": 3, "fixed_again": 3, "held": 2, "rejected": 1, "merged": 0}
FAILED = frozenset({"reverted", "fixed_again"})


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What one reporter said about one fix."""

    outcome_id: UUID
    fix_id: UUID
    reporter: str
    kind: OutcomeKind
    observed_at: datetime
    reported_at: datetime
    detail: str | None = None
    imported: bool = False


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """The stored fix that reports speak of."""

    id: UUID
    principal: str
    agent_id: str
    repository: str
    author: str | None
    paths: tuple[str, ...]
    status: FixStatus
    submitted_at: datetime
    learning_ids: tuple[UUID, ...]

    def keys(self) -> list[Key]:
        return keys_of(self.repository, self.author, self.agent_id, self.paths)


def refusal(report: Report, subject: Subject) -> str | None:
    """Why the report does not count, or None."""
    if report.reporter == subject.principal and not report.imported:
        return "self_report: the outcome of a fix is not taken from whoever submitted it"
    if report.observed_at < subject.submitted_at:
        return "observed_at: earlier than the fix was submitted"
    return None


def as_of_its_fix(report: Report, subject: Subject) -> Report:
    """What was told before the fix was handed in was seen before that, and counts from then on."""
    if report.reported_at < subject.submitted_at and report.observed_at < subject.submitted_at:
        return msgspec.structs.replace(report, observed_at=subject.submitted_at)
    return report


def effective(reports: Sequence[Report]) -> Report | None:
    """Each reporter's latest word, then the weightiest of those; among equals the one observed last."""
    latest: dict[str, Report] = {}
    for report in sorted(reports, key=lambda r: (r.reported_at, r.outcome_id)):
        latest[report.reporter] = report
    return max(latest.values(), key=lambda r: (WEIGHT[r.kind], r.observed_at, r.outcome_id), default=None)


def status_after(report: Report | None, before: FixStatus) -> FixStatus:
    """A rejected fix stays rejected; any other follows its effective outcome."""
    if before == "rejected":
        return before
    return SETTLED.get(report.kind, "scored") if report is not None else "scored"


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """What a report changes: the fix's effective outcome before and after it.

    `revision` counts the fix's accepted reports, this one among them.
    """

    report: Report
    subject: Subject | None
    refused_reason: str | None
    before: Report | None = None
    after: Report | None = None
    revision: int = 0

    @property
    def state(self) -> str:
        if self.refused_reason is not None:
            return "refused"
        return "pending" if self.subject is None else "accepted"

    @property
    def status(self) -> FixStatus | None:
        """The fix's status from now on; null where the report changed nothing."""
        if self.subject is None or self.state != "accepted":
            return None
        return status_after(self.after, self.subject.status)


def judge(
    reports: Sequence[Report], subjects: Mapping[UUID, Subject], accepted: Mapping[UUID, Sequence[Report]]
) -> list[Judgement]:
    """One judgement a report, each building on those before it. A fix that is not here yet leaves it pending."""
    words = {fix_id: list(known) for fix_id, known in accepted.items()}
    judged = []
    for told in reports:
        subject = subjects.get(told.fix_id)
        report = told if subject is None else as_of_its_fix(told, subject)
        reason = None if subject is None else refusal(report, subject)
        if subject is None or reason is not None:
            judged.append(Judgement(report=report, subject=subject, refused_reason=reason))
            continue
        known = words.setdefault(report.fix_id, [])
        before = effective(known)
        known.append(report)
        after, revision = effective(known), len(known)
        judged.append(
            Judgement(
                report=report, subject=subject, refused_reason=None, before=before, after=after, revision=revision
            )
        )
    return judged


def first_words(
    reports: Iterable[Report], subjects: Mapping[UUID, Subject]
) -> tuple[dict[UUID, Judgement], list[Report]]:
    """By fix, the first report of each of `subjects`, judged as what nobody has said anything of; and all others."""
    first: dict[UUID, Report] = {}
    others = []
    for report in reports:
        if report.fix_id in subjects and report.fix_id not in first:
            first[report.fix_id] = report
        else:
            others.append(report)
    return {j.report.fix_id: j for j in judge(list(first.values()), subjects, {})}, others


def failures_moved(judgements: Iterable[Judgement], buckets: Buckets) -> None:
    """Adds the failures that the judgements brought, and takes back those that they withdrew."""
    for j in judgements:
        if j.subject is None or j.before == j.after:
            continue
        if j.before is not None and j.before.kind in FAILED:
            buckets.failed(j.subject.keys(), j.before.observed_at, times=-1)
        if j.after is not None and j.after.kind in FAILED:
            buckets.failed(j.subject.keys(), j.after.observed_at)
