"""LightGBM, on numpy alone."""

from collections.abc import Sequence
from typing import Any

import lightgbm as lgb
import numpy as np

from services.trainer.dataset import Floats

MAX_ROUNDS = 600
PATIENCE_ROUNDS = 50
# On fewer rows the place to stop is chance: on eight real histories of 2,600 to 10,000 changes, stopping on a tenth of
# them left 2 to 141 trees and cost 0.016 of AUC against this fixed number, with the tenth learned from instead.
MIN_STOPPING_ROWS = 2000
ROUNDS_WITHOUT_STOPPING = 100

# Below, threads mostly wait for each other, and on a busy machine spin while they do.
PARALLEL_FROM_ROWS = 10_000


def parameters(rows: int, seed: int, threads: int) -> dict[str, Any]:
    """Small trees for small sets. Everything that could make two fits differ is pinned."""
    return {
        "objective": "binary",
        "learning_rate": 0.04,
        "num_leaves": int(np.clip(rows // 100, 4, 31)),
        "min_data_in_leaf": int(np.clip(rows // 100, 10, 100)),
        "feature_fraction": 0.7,
        "bagging_fraction": 0.8,
        "bagging_freq": 1,
        "lambda_l2": 5.0,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": threads if rows >= PARALLEL_FROM_ROWS else 1,
        "verbosity": -1,
    }


def fit(x: Floats, y: Floats, stopping: int, features: Sequence[str], params: dict[str, Any]) -> str:
    """A model in LightGBM's text format. The last `stopping` rows, when they say enough, stop the fit."""
    if stopping < MIN_STOPPING_ROWS:
        everything = lgb.Dataset(x, y, feature_name=list(features), params=params)
        return _text(lgb.train(params, everything, ROUNDS_WITHOUT_STOPPING))
    train = lgb.Dataset(x[:-stopping], y[:-stopping], feature_name=list(features), params=params)
    valid = train.create_valid(x[-stopping:], y[-stopping:])
    stop = lgb.early_stopping(PATIENCE_ROUNDS, verbose=False)
    return _text(lgb.train(params, train, MAX_ROUNDS, valid_sets=[valid], callbacks=[stop]))


def _text(booster: lgb.Booster) -> str:
    text: str = booster.model_to_string(num_iteration=booster.best_iteration)
    return text


def predict(model: str, x: Floats, threads: int) -> Floats:
    """Raw probabilities of `held`, (rows,)."""
    raw: Floats = np.asarray(lgb.Booster(model_str=model).predict(x, num_threads=threads), dtype=np.float64)
    return raw
