"""What the edge counts. The route is its template, so that ids do not become labels."""

from functools import lru_cache

from prometheus_client import CollectorRegistry, Counter

from services.gateway.tallies import Series, Tally, Timing
from shared.telemetry import SECONDS

MOST_REMEMBERED = 1024


class GatewayMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.answers = Timing(
            ("http_requests", "Requests answered."),
            ("http_request_duration_seconds", "Time to the last byte."),
            ("route", "method", "status"),
            SECONDS,
            registry,
        )
        # `policy`: whose bucket paid, or was violated; the names of the table, a closed set.
        self.decisions = Tally(
            "rate_limit_decisions", "Requests let in or not.", ("policy", "result", "backend"), registry
        )
        self.shed = Counter("requests_shed", "Requests refused for load.", ("route",), registry=registry)
        # hit: still true, said Redis. stale: unasked, as Redis is away. invalidated: it was there, and something moved.
        self.cached = Tally("cache_requests", "Look-ups in the response cache.", ("namespace", "result"), registry)
        self._of_answer = lru_cache(MOST_REMEMBERED)(self._find_answer)

    def answered(self, route: str | None, method: str, status: int, seconds: float) -> None:
        """`route` as `METHOD /path/{parameter}`."""
        self.answers.observe(self._of_answer(route, method, status), seconds)

    def _find_answer(self, route: str | None, method: str, status: int) -> Series:
        return self.answers.of(((route or "").partition(" ")[2] or "unmatched", method, str(status)))
