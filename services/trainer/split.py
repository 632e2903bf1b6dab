"""Which rows fit the trees, which stop them, which calibrate and which judge: always the later ones judge."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

EVALUATION_SHARE = 0.2
CALIBRATION_SHARE = 0.2
STOPPING_SHARE = 0.1
# An outcome is settled 30 days after the change; rows closer than that to the evaluation know its future.
GAPS_DAYS = (30, 14, 7, 3, 1, 0)
KEPT_AT_LEAST = 0.75


@dataclass(frozen=True)
class Split:
    """Slices of rows in time order: fit, stop and calibrate follow each other; the gap comes before evaluate.

    Where the raw probabilities stay as they are, the trees are fitted again on all rows before the gap, `calibrate`
    among them.
    """

    fit: slice
    stop: slice
    calibrate: slice
    evaluate: slice
    gap_days: int

    def sizes(self) -> dict[str, int]:
        names = ("fit", "stop", "calibrate", "evaluate")
        return {name: getattr(self, name).stop - getattr(self, name).start for name in names}


def by_time(submitted_at: npt.NDArray[np.datetime64]) -> Split:
    """`submitted_at` is sorted. The longest gap is taken that leaves three quarters of the earlier rows."""
    rows = len(submitted_at)
    begin = rows - round(rows * EVALUATION_SHARE)
    for gap_days in GAPS_DAYS:
        known = submitted_at[begin] - np.timedelta64(gap_days, "D")
        end = min(begin, int(np.searchsorted(submitted_at, known, side="right")))
        if end >= KEPT_AT_LEAST * begin or gap_days == 0:
            break
    end = end if gap_days else begin
    calibrate = end - round(end * CALIBRATION_SHARE)
    stop = calibrate - round(end * STOPPING_SHARE)
    return Split(slice(0, stop), slice(stop, calibrate), slice(calibrate, end), slice(begin, rows), gap_days)
