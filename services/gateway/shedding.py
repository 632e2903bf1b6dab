"""Too much to do: what can wait is refused first, so that what cannot still gets through.

Pressure is how far the worse of two signals is past its bound: how late the event loop wakes up, and how many events
are on their way to the log without an acknowledgement. 1 is at the bound.
"""

from collections.abc import Callable

from services.gateway.problems import ApiError

# The pressure from which a request is refused. Bulk work comes back by itself; an outcome that is not told is lost to
# the model, and a read is how everybody else finds out what goes on.
CAN_WAIT, USUAL, LAST = 1.0, 2.0, 4.0
PATIENCE = {
    "POST /v1/batch": CAN_WAIT,
    "POST /v1/confidence/batch": CAN_WAIT,
    "POST /v1/fixes/bulk": CAN_WAIT,
    "POST /v1/models/retrain": CAN_WAIT,
    "POST /v1/fixes/{fix_id}/outcome": LAST,
    "POST /v1/outcomes": LAST,
}


def patience(method: str, route: str) -> float:
    return PATIENCE.get(route, LAST if method == "GET" else USUAL)


class Shedding:
    """`enabled` says whether the flag is on; `count` hears the route of what was refused."""

    def __init__(
        self, lag_seconds: float, publishes: int, enabled: Callable[[], bool], count: Callable[[str], None]
    ) -> None:
        self._lag_bound = lag_seconds
        self._publishes_bound = publishes
        self._enabled = enabled
        self._count = count
        self._lags = (0.0, 0.0)
        self.publishing = 0

    def woke(self, late_seconds: float) -> None:
        self._lags = (self._lags[1], late_seconds)

    @property
    def pressure(self) -> float:
        """One long pause is no overload: the loop is as late as the better of its last two wake-ups."""
        return max(min(self._lags) / self._lag_bound, self.publishing / self._publishes_bound)

    def refuses(self, method: str, route: str) -> bool:
        """It has to wait."""
        pressure = self.pressure
        return pressure > CAN_WAIT and pressure > patience(method, route) and self._enabled()

    def check(self, method: str, route: str) -> None:
        """Raises `ApiError` 503 for what has to wait."""
        if self.refuses(method, route):
            self._count(route or "unmatched")
            raise ApiError(
                503,
                "overloaded",
                "more to do than can be done now; reads and outcomes go on longest, bulk work does not",
            )
