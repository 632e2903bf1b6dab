"""What answers: a trained model under its name, or the formula."""

from collections.abc import Mapping, Sequence
from math import isnan, nan

import msgspec

from shared.artefacts import Artefact
from shared.contracts.commands import Contribution
from shared.contracts.fixes import Source
from shared.features.formula import effects, formula
from shared.features.vector import FEATURES
from shared.predictor import Predictor

TOP = 12


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


def load(version: str, sha256: str, artefact: Artefact) -> Model:
    """Warm: what is slow the first time is done before anybody waits for it."""
    model = Model(version, sha256, Predictor(artefact))
    nothing = [nan] * len(FEATURES)
    predict(model, [nothing])
    explain(model, [nothing])
    return model
