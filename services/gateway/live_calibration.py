"""What a model said, against what came of it. Pure."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from services.gateway.views import Instant

BINS = 20
# With fewer outcomes a share says nothing: 20 of which 17 held are anything from 62 to 97 %.
MIN_IN_BIN = 20
MIN_IN_ALL = 100


class Counted(msgspec.Struct, frozen=True):
    """`bin` counts from 1; `predicted` and `observed` are means, `squared` the sum of squared errors."""

    bin: int
    count: int
    predicted: float
    observed: float
    squared: float


class Bin(msgspec.Struct, frozen=True, kw_only=True):
    """Fixes scored from `low` up to `high`. `observed` is the share that held, null where `count` is below 20."""

    low: float
    high: float
    count: int
    predicted: float | None
    observed: float | None


class LiveCalibration(msgspec.Struct, frozen=True, kw_only=True):
    """`calibration_error` is the mean distance of predicted and observed, `brier` the mean squared error of each fix.

    `base_rate` is the share that held. All three are null where `count` is below 100.
    """

    version: str
    as_of: Instant
    count: int
    base_rate: float | None
    calibration_error: float | None
    brier: float | None
    bins: list[Bin]


def live_calibration(version: str, counted: Sequence[Counted], as_of: datetime) -> LiveCalibration:
    total = sum(c.count for c in counted)
    enough = total >= MIN_IN_ALL
    return LiveCalibration(
        version=version,
        as_of=as_of,
        count=total,
        base_rate=sum(c.count * c.observed for c in counted) / total if enough else None,
        calibration_error=sum(c.count * abs(c.predicted - c.observed) for c in counted) / total if enough else None,
        brier=sum(c.squared for c in counted) / total if enough else None,
        bins=_bins({c.bin: c for c in counted}),
    )


def _bins(counted: dict[int, Counted]) -> list[Bin]:
    bins = []
    for number in range(1, BINS + 1):
        found = counted.get(number, Counted(number, 0, 0.0, 0.0, 0.0))
        told = found.count >= MIN_IN_BIN
        bins.append(
            Bin(
                low=(number - 1) / BINS,
                high=number / BINS,
                count=found.count,
                predicted=found.predicted if told else None,
                observed=found.observed if told else None,
            )
        )
    return bins
