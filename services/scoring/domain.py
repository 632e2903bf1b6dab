"""The rules of scoring, without any I/O: what of a fix is measured, what stands behind a number, what it decides."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from services.scoring.history import Event
from services.scoring.outcomes import FAILED
from shared.contracts.commands import Candidate
from shared.contracts.fixes import Decision, FixSubmitted, Signals
from shared.diffs import DiffError, parse
from shared.errors import PermanentError
from shared.features.change import change_features
from shared.features.fix_type import mends, normalize_fix_type
from shared.features.history import MAX_FILES, History, keys_of, touched_paths
from shared.features.size import expected_failure
from shared.features.vector import joined, remembered

# Fewer comparable changes than this behind a number, and the answer says so.
LOW_EVIDENCE = 20


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A fix reduced to what is scored. `failed_at` is known for imports only."""

    id: UUID
    agent_id: str
    repository: str
    author: str | None
    fix_type: str | None
    signals: Signals | None
    as_of: datetime
    features: Mapping[str, float]
    paths: tuple[str, ...]
    mends: bool = False
    failed_at: datetime | None = None

    def event(self) -> Event:
        """The change as history sees it."""
        keys = keys_of(self.repository, self.author, self.agent_id, self.paths)
        expected = expected_failure(self.features)
        return Event(keys, self.as_of, self.failed_at, self.mends, expected)


def change_of(fix: FixSubmitted, now: datetime) -> Change:
    """Raises `PermanentError` for a diff that is none: the gateway refuses those, another publisher may not."""
    features, paths = measured(fix)
    outcome = fix.outcome
    return Change(
        id=fix.id,
        agent_id=fix.agent_id,
        repository=fix.repository,
        author=fix.author,
        fix_type=normalize_fix_type(fix.fix_type),
        signals=fix.signals,
        as_of=fix.submitted_at if fix.backdated else now,
        features=features,
        paths=paths,
        mends=mends(fix.fix_type, fix.title),
        failed_at=outcome.observed_at if outcome is not None and outcome.kind in FAILED else None,
    )


def measured(fix: FixSubmitted | Candidate) -> tuple[Mapping[str, float], tuple[str, ...]]:
    """The change's own features and the paths whose past is looked up; a features-only caller may keep those back."""
    if fix.diff is None:
        return fix.features or {}, tuple(dict.fromkeys(fix.paths))[:MAX_FILES]
    try:
        parsed = parse(fix.diff)
    except DiffError as error:
        raise PermanentError(f"diff: {error}") from error
    return change_features(parsed), touched_paths(parsed)


class Known(msgspec.Struct, frozen=True):
    """What the past says of a change, and of every other that shares it: part of its vector, and the evidence.

    `evidence` are comparable changes, by the same author here, or to the most changed of the touched files; None =
    the past was not looked up.
    """

    remembered: Sequence[float]
    evidence: int | None


def known_of(history: History | None, as_of: datetime) -> Known:
    if history is None:
        return Known(remembered(None, as_of), None)
    comparable = max([history.author.changes, *(past.changes for past in history.files)])
    return Known(remembered(history, as_of), comparable)


def vector_of(change: Change, known: Known) -> list[float]:
    """The numbers that are scored, stored and learned from."""
    return joined(change.features, known.remembered, change.fix_type, change.signals)


class Thresholds(msgspec.Struct, frozen=True, kw_only=True):
    auto_merge: float
    block: float


def decide(confidence: float, unclaimed: float, thresholds: Thresholds) -> Decision:
    """`unclaimed` is the confidence without the submitter's own signals: they alone never merge anything."""
    if confidence < thresholds.block:
        return "block"
    if min(confidence, unclaimed) >= thresholds.auto_merge:
        return "auto_merge"
    return "review"
