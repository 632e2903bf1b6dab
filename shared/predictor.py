"""A trained model at work: one vector in, a probability or its explanation out. What is served, and what is tried."""

import ctypes
import struct
import threading
import weakref
from collections.abc import Mapping, Sequence
from math import exp
from typing import Any

import lightgbm
import numpy as np
from lightgbm.basic import _LIB  # type: ignore[attr-defined]

from shared.artefacts import Artefact, ArtefactError
from shared.features.formula import FORMULA, effects, log_odds
from shared.features.vector import FEATURE_SET, FEATURES

_FLOAT64, _RAW_SCORE = 1, 1
_DOUBLES = struct.Struct(f"{len(FEATURES)}d")

# With the interpreter's lock: a row takes microseconds, and giving the lock back and forth is one of them.
_predict = ctypes.PYFUNCTYPE(ctypes.c_int, *[ctypes.c_void_p] * 4)(("LGBM_BoosterPredictForMatSingleRowFast", _LIB))
_LIB.LGBM_FastConfigFree.argtypes = [ctypes.c_void_p]


class Predictor:
    """Serves an artefact. Predictions come from one thread at a time; explanations from any, one after the other.

    Single rows go through LightGBM's C interface, prepared once: its Python one takes twice as long to hand a row
    over as the trees take to answer.
    """

    def __init__(self, artefact: Artefact) -> None:
        """Raises `ArtefactError` for a model that answers another question, or reads other numbers."""
        _check(artefact)
        try:
            self._trees = lightgbm.Booster(model_str=artefact.booster)
            # Explaining writes to the trees that it reads (LightGBM #5482), so it has trees of its own.
            self._explained = lightgbm.Booster(model_str=artefact.booster)
        except lightgbm.basic.LightGBMError as error:
            raise ArtefactError(f"LightGBM: {error}") from error
        self._explaining = threading.Lock()
        self._calibrate = artefact.calibration
        self._row, self._count, self._sum = (ctypes.c_double * len(FEATURES))(), ctypes.c_int64(), ctypes.c_double()
        places = (ctypes.c_void_p(ctypes.addressof(place)) for place in (self._row, self._count, self._sum))
        self._arguments = (self._prepare(), *places)

    def _prepare(self) -> ctypes.c_void_p:
        prepared = ctypes.c_void_p()
        parameters = ctypes.c_char_p(b"num_threads=1")
        handle: Any = self._trees._handle
        if _LIB.LGBM_BoosterPredictForMatSingleRowFastInit(
            handle, _RAW_SCORE, 0, -1, _FLOAT64, len(FEATURES), parameters, ctypes.byref(prepared)
        ):
            raise ArtefactError("LightGBM does not prepare this model for single rows")
        weakref.finalize(self, _LIB.LGBM_FastConfigFree, prepared)
        return prepared

    def log_odds(self, vector: Sequence[float]) -> float:
        """The raw score: the formula's log-odds of holding plus the trees', before calibration."""
        _DOUBLES.pack_into(self._row, 0, *vector)
        if _predict(*self._arguments):
            raise RuntimeError("LightGBM did not answer")
        return log_odds(vector) + self._sum.value

    def __call__(self, vector: Sequence[float]) -> float:
        """P(held), calibrated."""
        return self._calibrate(1 / (1 + exp(-self.log_odds(vector))))

    def explain(self, vectors: Sequence[Sequence[float]]) -> list[tuple[float, Mapping[str, float]]]:
        """(base value, what each feature adds) of each vector, in log-odds before calibration: their sum is the score.

        TreeSHAP (Lundberg 2018) for the trees, exact terms for the formula beneath. Takes milliseconds: not for the
        event loop's thread.
        """
        rows = np.asarray(vectors, dtype=np.float64)
        with self._explaining:
            added = np.asarray(self._explained.predict(rows, pred_contrib=True, num_threads=1))
        return [_together(vector, row) for vector, row in zip(vectors, added.tolist(), strict=True)]


def _check(artefact: Artefact) -> None:
    if artefact.kind != "confidence":
        raise ArtefactError(f"a model of kind {artefact.kind} does not answer for confidence")
    if artefact.feature_set != FEATURE_SET or tuple(artefact.features) != FEATURES:
        raise ArtefactError("trained on other features than this version computes; retrain")
    if artefact.begins_at != FORMULA:
        raise ArtefactError("fitted on top of another formula than this version's; retrain")


def _together(vector: Sequence[float], added: Sequence[float]) -> tuple[float, Mapping[str, float]]:
    base, known = effects(vector)
    for name, effect in zip(FEATURES, added[:-1], strict=True):
        known[name] = known.get(name, 0.0) + effect
    return base + added[-1], known
