"""The model slot: one reference that every answer reads, replaced whole while answers go on."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence

import lightgbm
import msgspec
import numpy as np

from shared.artefacts import Artefact, ArtefactError
from shared.contracts.commands import Contribution
from shared.contracts.fixes import Source
from shared.contracts.models import ModelPromoted
from shared.features.formula import FORMULA, effects, formula, log_odds
from shared.features.vector import FEATURE_SET, FEATURES

log = logging.getLogger(__name__)

Fetch = Callable[[str], Awaitable[Artefact]]


class Prediction(msgspec.Struct, frozen=True, kw_only=True):
    """`confidence` is P(held), calibrated, in (0, 1)."""

    confidence: float
    source: Source
    model_version: str | None


class Model:
    """A booster with its calibration. LightGBM's prediction is thread-safe, its contributions are not."""

    def __init__(self, version: str, artefact: Artefact) -> None:
        if artefact.kind != "confidence":
            raise ArtefactError(f"{version}: a model of kind {artefact.kind} does not answer for confidence")
        if artefact.feature_set != FEATURE_SET or tuple(artefact.features) != FEATURES:
            raise ArtefactError(f"{version}: trained on other features than this version computes; retrain")
        if artefact.begins_at != FORMULA:
            raise ArtefactError(f"{version}: fitted on top of another formula than this version's; retrain")
        self.version = version
        self._calibrate = artefact.calibration
        self._booster = lightgbm.Booster(model_str=artefact.booster)
        if self._booster.num_feature() != len(FEATURES):
            raise ArtefactError(f"{version}: {self._booster.num_feature()} columns instead of {len(FEATURES)}")

    def predict(self, vectors: Sequence[Sequence[float]]) -> list[float]:
        """P(held) for each row: the formula's log-odds plus the trees', calibrated."""
        rows = np.asarray(vectors, dtype=np.float64)
        trees = np.asarray(self._booster.predict(rows, raw_score=True, num_threads=1))
        begun = np.asarray([log_odds(v) for v in vectors])
        return [self._calibrate(float(p)) for p in 1 / (1 + np.exp(-(begun + trees)))]

    def explain(self, vector: Sequence[float]) -> tuple[float, list[Contribution]]:
        """(base value, contributions, largest first), in log-odds before calibration: their sum is the raw score."""
        row = np.asarray([vector], dtype=np.float64)
        added = np.asarray(self._booster.predict(row, pred_contrib=True, num_threads=1))[0]
        base, known = effects(vector)
        for name, effect in zip(FEATURES, added[:-1], strict=True):
            known[name] = known.get(name, 0.0) + float(effect)
        return base + float(added[-1]), contributions(vector, known)


def contributions(vector: Sequence[float], effect: Mapping[str, float]) -> list[Contribution]:
    values = dict(zip(FEATURES, vector, strict=True))
    named = [
        Contribution(feature=name, value=None if np.isnan(values[name]) else values[name], effect=size)
        for name, size in effect.items()
        if size
    ]
    return sorted(named, key=lambda c: -abs(c.effect))


def explain_formula(vector: Sequence[float]) -> tuple[float, list[Contribution]]:
    base, known = effects(vector)
    return base, contributions(vector, known)


class Slot:
    """Holds the model that answers, and the one before it. With neither, the formula answers."""

    def __init__(self, fetch: Fetch, failed: Callable[[], None]) -> None:
        self._fetch = fetch
        self._failed = failed
        self._promotion_id = 0
        self._lock = asyncio.Lock()
        self.current: Model | None = None
        self.previous: Model | None = None

    async def serve(self, promoted: ModelPromoted) -> bool:
        """Loads and warms the promoted model, then switches. On any fault the old one keeps answering."""
        async with self._lock:
            if promoted.kind != "confidence" or promoted.promotion_id <= self._promotion_id:
                return False
            try:
                artefact = await self._fetch(promoted.sha256)
                model = await asyncio.to_thread(_load, promoted.version, artefact)
            except (ArtefactError, lightgbm.basic.LightGBMError) as error:
                log.error("model %s is not served: %s", promoted.version, error)
                self._failed()
                return False
            # The one assignment that readers see; a group under way keeps the reference it took.
            self.current, self.previous = model, self.current
            self._promotion_id = promoted.promotion_id
            log.info("model %s answers from now on", promoted.version)
            return True

    def predict(self, vectors: Sequence[Sequence[float]]) -> list[Prediction]:
        model = self.current
        if model is None:
            return [Prediction(confidence=formula(v), source="formula", model_version=None) for v in vectors]
        return [Prediction(confidence=p, source="model", model_version=model.version) for p in model.predict(vectors)]


def _load(version: str, artefact: Artefact) -> Model:
    model = Model(version, artefact)
    model.predict([[float("nan")] * len(FEATURES)] * 2)
    return model
