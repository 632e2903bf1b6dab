"""LightGBM, on numpy alone."""

from collections.abc import Sequence
from typing import Any

import lightgbm as lgb
import numpy as np

from services.trainer.dataset import Floats

MAX_ROUNDS = 600
PATIENCE_ROUNDS = 50
# Fewer rows than this say little about when to stop.
MIN_STOPPING_ROWS = 100
ROUNDS_WITHOUT_STOPPING = 80


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
        "num_threads": threads,
        "verbosity": -1,
    }


def fit(
    fitting: tuple[Floats, Floats],
    stopping: tuple[Floats, Floats],
    features: Sequence[str],
    params: dict[str, Any],
) -> str:
    """A model in LightGBM's text format. Each pair is (x, y); the second, when it says enough, stops the fit."""
    train = lgb.Dataset(*fitting, feature_name=list(features), params=params)
    if len(stopping[1]) < MIN_STOPPING_ROWS or len(np.unique(stopping[1])) < 2:
        return _text(lgb.train(params, train, ROUNDS_WITHOUT_STOPPING))
    stop = lgb.early_stopping(PATIENCE_ROUNDS, verbose=False)
    return _text(lgb.train(params, train, MAX_ROUNDS, valid_sets=[train.create_valid(*stopping)], callbacks=[stop]))


def _text(booster: lgb.Booster) -> str:
    text: str = booster.model_to_string(num_iteration=booster.best_iteration)
    return text


def predict(model: str, x: Floats, threads: int) -> Floats:
    """Raw probabilities of `held`, (rows,)."""
    raw: Floats = np.asarray(lgb.Booster(model_str=model).predict(x, num_threads=threads), dtype=np.float64)
    return raw
