"""From raw probabilities to calibrated ones, as numbers: isotonic, Platt, shrunk to the base rate, or as they are."""

import numpy as np

from services.trainer.booster import sigmoid
from services.trainer.dataset import Floats
from services.trainer.evaluate import log_loss
from shared.artefacts import Calibration

ISOTONIC_FROM_ROWS = 1000
PLATT_FROM_ROWS = 200
# Curves through fewer failures cost, on the rows that followed, up to 9 % of the base rate's Brier score.
MIN_OF_A_CLASS = 50
# Isotonic works on equal-mass bins of this many rows: single rows would be followed too closely.
ROWS_A_BIN = 50
MAX_BINS = 100
# So many rows of the base rate weigh against the calibration rows when these are few.
PRIOR_ROWS = 200
EDGE = 1e-6
NEWTON_STEPS = 50
IDENTITY = Calibration(method="identity", x=[0.0, 1.0], y=[0.0, 1.0])
PLATT_GRID = np.linspace(-8.0, 8.0, 65)  # log-odds


def calibrate(raw: Floats, y: Floats, base_rate: float) -> Calibration:
    """`raw` and `y` are of rows later than those the trees saw, in time order; `base_rate` is that of the rows before.

    A curve needs enough of both outcomes, and is kept only if, fitted on the earlier half, it beats the raw
    probabilities on the later half: base rates drift, and a curve that follows yesterday's is worse than none.
    """
    held = y.sum()
    if len(y) < PLATT_FROM_ROWS or min(held, len(y) - held) < MIN_OF_A_CLASS:
        return IDENTITY
    half = len(y) // 2
    trial = curve(raw[:half], y[:half], base_rate)
    if log_loss(apply(trial, raw[half:]), y[half:]) >= log_loss(raw[half:], y[half:]):
        return IDENTITY
    return curve(raw, y, base_rate)


def curve(raw: Floats, y: Floats, base_rate: float) -> Calibration:
    if len(y) >= ISOTONIC_FROM_ROWS:
        return isotonic(raw, y, base_rate)
    return platt(raw, y) or shrunk(len(y), base_rate)


def apply(calibration: Calibration, raw: Floats) -> Floats:
    """What serving computes, for many rows at once."""
    return np.interp(raw, calibration.x, calibration.y)


def shrunk(rows: int, base_rate: float) -> Calibration:
    share = rows / (rows + PRIOR_ROWS)
    low = (1 - share) * base_rate
    return Calibration(method="base_rate", x=[0.0, 1.0], y=[low, low + share])


def platt(raw: Floats, y: Floats) -> Calibration | None:
    """A logistic curve through smoothed targets (Platt 1999); None when it would not rise."""
    logit = log_odds(raw)
    held = y.sum()
    target = np.where(y == 1, (held + 1) / (held + 2), 1 / (len(y) - held + 2))
    slope, offset = _logistic(logit, target)
    if slope <= 0:
        return None
    x = sigmoid(PLATT_GRID)
    return Calibration(method="platt", x=x.tolist(), y=sigmoid(slope * PLATT_GRID + offset).tolist())


def _logistic(z: Floats, target: Floats) -> tuple[float, float]:
    """Newton's method for `sigmoid(slope * z + offset)`; a little ridge keeps separable rows finite."""
    design = np.column_stack([z, np.ones_like(z)])
    weights = np.array([1.0, 0.0])
    for _ in range(NEWTON_STEPS):
        p = sigmoid(design @ weights)
        hessian = design.T @ (design * (p * (1 - p))[:, None]) + 1e-3 * np.eye(2)
        step = np.linalg.solve(hessian, design.T @ (target - p))
        weights = weights + np.clip(step, -2.0, 2.0)
        if np.abs(step).max() < 1e-9:
            break
    return float(weights[0]), float(weights[1])


def isotonic(raw: Floats, y: Floats, base_rate: float) -> Calibration:
    """Pooled adjacent violators over equal-mass bins; one row of the base rate in each keeps it off 0 and 1."""
    bins = np.array_split(np.argsort(raw, kind="stable"), min(MAX_BINS, len(y) // ROWS_A_BIN))
    x = np.array([raw[b].mean() for b in bins])
    rate = np.array([(y[b].sum() + base_rate) / (len(b) + 1) for b in bins])
    points = _pooled(x, rate, np.array([len(b) for b in bins], dtype=np.float64))
    return Calibration(method="isotonic", x=[p[0] for p in points], y=[p[1] for p in points])


def _pooled(x: Floats, y: Floats, weight: Floats) -> list[tuple[float, float, float]]:
    """Blocks (x, y, weight) in which x rises and y does not fall."""
    blocks: list[tuple[float, float, float]] = []
    for block in zip(x.tolist(), y.tolist(), weight.tolist(), strict=True):
        while blocks and (blocks[-1][1] >= block[1] or blocks[-1][0] >= block[0]):
            block = _merged(blocks.pop(), block)
        blocks.append(block)
    return blocks


def _merged(a: tuple[float, float, float], b: tuple[float, float, float]) -> tuple[float, float, float]:
    weight = a[2] + b[2]
    return (a[0] * a[2] + b[0] * b[2]) / weight, (a[1] * a[2] + b[1] * b[2]) / weight, weight


def log_odds(p: Floats) -> Floats:
    clipped = np.clip(p, EDGE, 1 - EDGE)
    odds: Floats = np.log(clipped / (1 - clipped))
    return odds
