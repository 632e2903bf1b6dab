"""The model that ships: fitted on labelled histories of many repositories, for those that have none of their own yet.

Every number here was chosen by leaving repositories out of those it ships on; docs/evaluation.md says what came of it.
"""

from typing import Any

import lightgbm as lgb
import numpy as np
import numpy.typing as npt

from services.trainer.booster import begin, text
from services.trainer.dataset import Floats
from services.trainer.labelled import Labelled, without
from shared.features.vector import DECLARED, FEATURES, REMEMBERED

SEED = 20_240_229  # any: the same seed and data give the same bytes
ROUNDS = 320
# Sums of two threads end in other digits than those of one.
THREADS = 1
PARAMETERS: dict[str, Any] = {
    "objective": "binary",
    "learning_rate": 0.0625,
    # Small trees: with 31 leaves they learn which repository it is, and that is of no use in another one.
    "num_leaves": 8,
    "min_data_in_leaf": 200,
    "feature_fraction": 0.3,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "lambda_l2": 10.0,
    "seed": SEED,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": THREADS,
    "verbosity": -1,
}
# Callers often leave the type out.
UNTOLD_SHARE = 0.5


def trees(data: Labelled, rows: npt.NDArray[np.bool_]) -> str:
    """Trees on top of the formula, fitted on `rows` of `data`, in LightGBM's text format."""
    x, y = as_told(data.x[rows], data.y[rows])
    whole = lgb.Dataset(x, y, init_score=begin(x), feature_name=list(FEATURES), params=PARAMETERS)
    return text(lgb.train(PARAMETERS, whole, ROUNDS))


def as_told(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """The rows as callers would tell them, and each again without any history: a new deployment has none."""
    random = np.random.default_rng(SEED)
    twice = np.vstack([x, without(x, REMEMBERED)])
    untold = random.random(len(twice)) < UNTOLD_SHARE
    twice[untold] = without(twice[untold], DECLARED)
    return twice, np.concatenate([y, y])
