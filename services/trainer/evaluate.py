"""How good probabilities were on rows nobody had seen; everything beside the base rate of the same rows."""

from collections.abc import Callable

import msgspec
import numpy as np
import numpy.typing as npt

from services.trainer.dataset import Floats

ECE_BINS = 15
DECILES = 10
EDGE = 1e-6
RESAMPLES = 1000
Measure = Callable[[Floats, Floats], float]
INTERVAL = (0.05, 0.95)


class Scores(msgspec.Struct, frozen=True, kw_only=True):
    """`held` is the positive class, 0.5 the threshold; None where a number is not defined.

    `brier_skill` is over the base rate of these very rows, the best constant in hindsight; `r` is Pearson's
    between predicted and observed over deciles; `ece` is over equal-mass bins.
    """

    base_rate: float
    auc: float | None
    brier: float
    brier_skill: float | None
    log_loss: float
    ece: float
    accuracy: float
    precision: float | None
    recall: float | None
    f1: float | None
    r: float | None


class Bin(msgspec.Struct, frozen=True, kw_only=True):
    """Of one tenth of the rows: the mean confidence and the share that held."""

    confidence: float
    held: float
    rows: int


class Gain(msgspec.Struct, frozen=True, kw_only=True):
    """By how much the new model is better, with its interval."""

    mean: float
    low: float
    high: float


def scores(p: Floats, y: Floats) -> Scores:
    base_rate = float(y.mean())
    squared = brier(p, y)
    spread = base_rate * (1 - base_rate)
    yes, held = p >= 0.5, y == 1
    precision, recall = _share(held[yes]), _share(yes[held])
    return Scores(
        base_rate=base_rate,
        auc=auc(p, y),
        brier=squared,
        brier_skill=1 - squared / spread if spread else None,
        log_loss=log_loss(p, y),
        ece=ece(p, y),
        accuracy=float((yes == held).mean()),
        precision=precision,
        recall=recall,
        f1=2 * precision * recall / (precision + recall) if precision and recall else None,
        r=correlation(reliability(p, y)),
    )


def _share(flags: npt.NDArray[np.bool_]) -> float | None:
    return float(flags.mean()) if len(flags) else None


def brier(p: Floats, y: Floats) -> float:
    return float(np.mean((p - y) ** 2))


def log_loss(p: Floats, y: Floats) -> float:
    clipped = np.clip(p, EDGE, 1 - EDGE)
    return float(-np.mean(y * np.log(clipped) + (1 - y) * np.log(1 - clipped)))


def auc(p: Floats, y: Floats) -> float | None:
    """The chance that a fix that held ranks above one that failed; ties count half."""
    held = float(y.sum())
    failed = len(y) - held
    if not held or not failed:
        return None
    _, place, count = np.unique(p, return_inverse=True, return_counts=True)
    rank = np.cumsum(count) - (count - 1) / 2
    return float((rank[place] @ y - held * (held + 1) / 2) / (held * failed))


def bins(p: Floats, y: Floats, count: int) -> list[Bin]:
    """At most `count` bins of equal mass; equal probabilities share a bin, so order does not matter."""
    edges = np.unique(np.quantile(p, np.linspace(0, 1, count + 1)[1:-1], method="lower"))
    place = np.searchsorted(edges, p, side="left")
    size = np.bincount(place, minlength=1)
    sum_p, sum_y = np.bincount(place, p), np.bincount(place, y)
    return [
        Bin(confidence=float(sum_p[i] / size[i]), held=float(sum_y[i] / size[i]), rows=int(size[i]))
        for i in np.flatnonzero(size)
    ]


def ece(p: Floats, y: Floats) -> float:
    return sum(b.rows * abs(b.confidence - b.held) for b in bins(p, y, ECE_BINS)) / len(y)


def ece_interval(p: Floats, y: Floats, seed: int) -> tuple[float, float]:
    """90 %, by a bootstrap over rows. Resampling adds noise to every bin, so it lies rather high."""
    random = np.random.default_rng(seed)
    drawn = (random.integers(0, len(y), len(y)) for _ in range(RESAMPLES // 10))
    low, high = np.quantile([ece(p[rows], y[rows]) for rows in drawn], INTERVAL)
    return float(low), float(high)


def surest_half(p: Floats, y: Floats) -> float:
    """Accuracy on the half of the rows whose confidence is farthest from one half."""
    sure = np.argsort(-np.abs(p - 0.5), kind="stable")[: len(p) // 2]
    return float(((p[sure] >= 0.5) == (y[sure] == 1)).mean())


def reliability(p: Floats, y: Floats) -> list[Bin]:
    return bins(p, y, DECILES)


def correlation(deciles: list[Bin]) -> float | None:
    predicted = np.array([b.confidence for b in deciles])
    observed = np.array([b.held for b in deciles])
    if len(deciles) < 3 or not predicted.std() or not observed.std():
        return None
    return float(np.corrcoef(predicted, observed)[0, 1])


def over_groups(
    measure: Callable[[Floats, Floats], float],
    new: Floats,
    other: Floats,
    y: Floats,
    group: npt.NDArray[np.str_],
    seed: int,
) -> Gain:
    """By how much `measure` is higher for `new`; the interval by a bootstrap over whole groups, 95 %."""
    rows = [np.flatnonzero(group == name) for name in np.unique(group)]
    random = np.random.default_rng(seed)

    def gain(chosen: npt.NDArray[np.intp]) -> float:
        return measure(new[chosen], y[chosen]) - measure(other[chosen], y[chosen])

    drawn = (random.integers(0, len(rows), len(rows)) for _ in range(RESAMPLES // 10))
    gains = [gain(np.concatenate([rows[i] for i in chosen])) for chosen in drawn]
    low, high = np.quantile(gains, (0.025, 0.975))
    return Gain(mean=gain(np.arange(len(y))), low=float(low), high=float(high))


def brier_gain(new: Floats, champion: Floats, y: Floats, seed: int) -> Gain:
    """Paired bootstrap over rows."""
    return mean_gain((champion - y) ** 2 - (new - y) ** 2, seed)


def mean_gain(gain: Floats, seed: int) -> Gain:
    """Of (rows,), how much better each is; bootstrap over rows."""
    random = np.random.default_rng(seed)
    means = [gain[random.integers(0, len(gain), len(gain))].mean() for _ in range(RESAMPLES)]
    low, high = np.quantile(means, INTERVAL)
    return Gain(mean=float(gain.mean()), low=float(low), high=float(high))
