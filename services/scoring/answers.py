"""From changes and their history to answers: the model, or the formula, and what is decided on the number."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec

from services.scoring.domain import LOW_EVIDENCE, Change, Known, Thresholds, decide, vector_of
from services.scoring.metrics import ScoringMetrics
from services.scoring.model import Model, Prediction, explain, predict
from shared.contracts.commands import Confidence, ExplainedConfidence
from shared.contracts.models import ModelPromoted
from shared.features.vector import unclaimed
from shared.slot import Slot


class Answer(msgspec.Struct, frozen=True):
    """`confidence` is what the caller gets, `vector` the numbers it rests on, `model` who answered; None = formula."""

    confidence: Confidence
    vector: list[float]
    model: Model | None


class Answers:
    """`scoring_on` says whether the model is asked at all; thresholds are by repository, '' for all others.

    `renewed` is awaited when answers are from now on other than before, so that nobody goes on telling the old ones.
    """

    def __init__(
        self,
        slot: Slot[Model | None],
        scoring_on: Callable[[], bool],
        renewed: Callable[[], Awaitable[None]],
        metrics: ScoringMetrics,
    ) -> None:
        self._slot, self._scoring_on, self._renewed, self._metrics = slot, scoring_on, renewed, metrics
        self._thresholds: Mapping[str, Thresholds] = {}

    async def serve(self, promoted: ModelPromoted) -> None:
        if await self._slot.serve(promoted):
            await self._renewed()

    async def decide_by(self, thresholds: Mapping[str, Thresholds]) -> None:
        if thresholds != self._thresholds:
            self._thresholds = thresholds
            await self._renewed()

    def __call__(self, changes: Sequence[Change], known: Sequence[Known]) -> list[Answer]:
        """One model for all of them. Where the past was not looked up, an answer is degraded."""
        model = self._slot.current if self._scoring_on() else None
        vectors = [vector_of(c, k) for c, k in zip(changes, known, strict=True)]
        # A second look without the submitter's claims, where there are any: they alone must not merge anything.
        doubted = [unclaimed(v) for c, v in zip(changes, vectors, strict=True) if c.signals]
        started = time.perf_counter()
        predictions = predict(model, [*vectors, *doubted])
        self._metrics.inference.observe(time.perf_counter() - started)
        doubts = iter(predictions[len(vectors) :])
        return [
            Answer(self._confidence(c, k.evidence, p, next(doubts) if c.signals else p), v, model)
            for c, k, p, v in zip(changes, known, predictions, vectors, strict=False)
        ]

    def _confidence(self, change: Change, evidence: int | None, p: Prediction, doubted: Prediction) -> Confidence:
        limits = self._thresholds.get(change.repository) or self._thresholds[""]
        return Confidence(
            confidence=p.confidence,
            source=p.source,
            degraded=p.source == "formula" or evidence is None,
            model_version=p.model_version,
            evidence=evidence,
            low_evidence=None if evidence is None else evidence < LOW_EVIDENCE,
            decision=decide(p.confidence, doubted.confidence, limits),
        )

    async def explained(self, answers: Sequence[Answer]) -> list[ExplainedConfidence]:
        """All of them were answered by the same model."""
        if not answers:
            return []
        found = await asyncio.to_thread(explain, answers[0].model, [a.vector for a in answers])
        pairs = zip(answers, found, strict=True)
        return [
            ExplainedConfidence(**msgspec.structs.asdict(a.confidence), **msgspec.structs.asdict(e)) for a, e in pairs
        ]
