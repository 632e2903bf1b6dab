"""The model slot: one reference that every answer reads, replaced whole while answers go on."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from math import isnan, nan

import msgspec

from shared.artefacts import Artefact, ArtefactError
from shared.contracts.commands import Contribution
from shared.contracts.fixes import Source
from shared.contracts.models import ModelPromoted
from shared.features.formula import effects, formula
from shared.features.vector import FEATURES
from shared.predictor import Predictor

TOP = 12

log = logging.getLogger(__name__)

Fetch = Callable[[str], Awaitable[Artefact]]


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """In log-odds, before calibration: `base_value`, the contributions and `others` add up to `raw_score`."""

    base_value: float
    contributions: tuple[Contribution, ...]
    others: float
    raw_score: float


class Prediction(msgspec.Struct, frozen=True, kw_only=True):
    """`confidence` is P(held), calibrated, in (0, 1)."""

    confidence: float
    source: Source
    model_version: str | None


class Model(msgspec.Struct, frozen=True):
    """A trained model under its name in the registry."""

    version: str
    sha256: str
    predictor: Predictor


def explanation(vector: Sequence[float], base: float, effect: Mapping[str, float]) -> Explanation:
    values = dict(zip(FEATURES, vector, strict=True))
    moved = sorted((name for name in effect if effect[name]), key=lambda name: -abs(effect[name]))
    named = [
        Contribution(feature=name, value=None if isnan(values[name]) else values[name], effect=effect[name])
        for name in moved[:TOP]
    ]
    rest = sum(effect[name] for name in moved[TOP:])
    return Explanation(base_value=base, contributions=tuple(named), others=rest, raw_score=base + sum(effect.values()))


def predict(model: Model | None, vectors: Sequence[Sequence[float]]) -> list[Prediction]:
    """Without a model the formula answers."""
    if model is None:
        return [Prediction(confidence=formula(v), source="formula", model_version=None) for v in vectors]
    return [Prediction(confidence=model.predictor(v), source="model", model_version=model.version) for v in vectors]


def explain(model: Model | None, vectors: Sequence[Sequence[float]]) -> list[Explanation]:
    """Milliseconds a vector with a model: not for the event loop's thread."""
    if model is None:
        return [explanation(v, *effects(v)) for v in vectors]
    return [explanation(v, *known) for v, known in zip(vectors, model.predictor.explain(vectors), strict=True)]


class Slot:
    """Holds the model that answers, and the one before it."""

    def __init__(self, fetch: Fetch, failed: Callable[[], None], initial: Model | None = None) -> None:
        self._fetch = fetch
        self._failed = failed
        self._promotion_id = 0
        self._lock = asyncio.Lock()
        self.current = initial
        self.previous: Model | None = None

    async def serve(self, promoted: ModelPromoted) -> bool:
        """Loads and warms the promoted model, then switches. On any fault the old one keeps answering."""
        async with self._lock:
            if promoted.kind != "confidence" or promoted.promotion_id <= self._promotion_id:
                return False
            try:
                model = await self._model(promoted)
            except ArtefactError as error:
                log.error("model %s is not served: %s", promoted.version, error)
                self._failed()
                return False
            # The one assignment that readers see; a group under way keeps the reference it took.
            self.current, self.previous = model, self.current
            self._promotion_id = promoted.promotion_id
            log.info("model %s answers from now on", promoted.version)
            return True

    async def _model(self, promoted: ModelPromoted) -> Model:
        """A rollback needs no store: the model before this one is still here."""
        name = (promoted.version, promoted.sha256)
        if self.previous is not None and (self.previous.version, self.previous.sha256) == name:
            return self.previous
        artefact = await self._fetch(promoted.sha256)
        return await asyncio.to_thread(_load, *name, artefact)


def _load(version: str, sha256: str, artefact: Artefact) -> Model:
    """Warm: what is slow the first time is done before anybody waits for it."""
    model = Model(version, sha256, Predictor(artefact))
    nothing = [nan] * len(FEATURES)
    predict(model, [nothing])
    explain(model, [nothing])
    return model
