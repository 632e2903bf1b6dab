"""What the model that ships is measured beside: simple models of the same rows, fitted the same way."""

from typing import Any

import lightgbm as lgb
import numpy as np

from services.trainer.booster import sigmoid
from services.trainer.dataset import Floats

# LightGBM as an afternoon leaves it: its defaults, a few rounds.
PLAIN: dict[str, Any] = {
    "objective": "binary",
    "learning_rate": 0.05,
    "num_leaves": 31,
    "seed": 1,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "verbosity": -1,
}
PLAIN_ROUNDS = 200
RIDGE = 50.0
NEWTON_STEPS = 12


def plain(x: Floats, y: Floats, new: Floats) -> Floats:
    """P(held) of the rows of `new`."""
    fitted = lgb.train(PLAIN, lgb.Dataset(x, y, params=PLAIN), PLAIN_ROUNDS)
    return np.asarray(fitted.predict(new), dtype=np.float64)


def logistic(x: Floats, y: Floats, new: Floats) -> Floats:
    """Logistic regression on standardised logarithms; what is not known counts as the mean."""
    known, asked = np.log1p(np.maximum(x, 0)), np.log1p(np.maximum(new, 0))
    mean, spread = np.nanmean(known, axis=0), np.nanstd(known, axis=0) + 1e-9
    weights = _newton(_design(known, mean, spread), y)
    return sigmoid(_design(asked, mean, spread) @ weights)


def _design(x: Floats, mean: Floats, spread: Floats) -> Floats:
    return np.column_stack([np.nan_to_num((x - mean) / spread), np.ones(len(x))])


def _newton(design: Floats, y: Floats) -> Floats:
    ridge = np.full(design.shape[1], RIDGE)
    ridge[-1] = 0
    weights = np.zeros(design.shape[1])
    for _ in range(NEWTON_STEPS):
        p = sigmoid(design @ weights)
        hessian = design.T @ (design * (p * (1 - p))[:, None]) + np.diag(ridge)
        weights = weights + np.linalg.solve(hessian, design.T @ (y - p) - ridge * weights)
    return weights
