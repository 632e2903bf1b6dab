"""Synthetic vectors of settled fixes, in the order of `FEATURES`."""

from typing import Any

import numpy as np

from services.trainer import booster
from shared.features.vector import FEATURES

Array = np.ndarray[Any, np.dtype[Any]]

RATES = [FEATURES.index(name) for name in FEATURES if name.endswith("_rate")]


def vectors(random: np.random.Generator, rows: int) -> Array:
    """(rows, features): counts and days are log-normal, rates lie between 0 and 1; nothing depends on anything."""
    z = random.normal(size=(rows, len(FEATURES)))
    x = np.exp(z)
    x[:, RATES] = 1 / (1 + np.exp(2 - z[:, RATES]))
    return x


def standard(x: Array, feature: str) -> Array:
    """The normal numbers that column of `vectors` was made of."""
    column = FEATURES.index(feature)
    if column in RATES:
        z: Array = 2 + np.log(x[:, column] / (1 - x[:, column]))
        return z
    return np.log(x[:, column])


def grown(x: Array, y: Array, stopping: int = 0) -> str:
    """Small real trees that begin at the formula, in LightGBM's text format."""
    rows = booster.Rows(x, y, np.ones(len(y)), booster.begin(x), stopping)
    return booster.fit(rows, FEATURES, booster.parameters(len(y), 1, 1, FEATURES))
