"""What the edge counts. The route is its template, so that ids do not become labels."""

from functools import lru_cache

from prometheus_client import CollectorRegistry, Counter, Histogram

from shared.telemetry import SECONDS

MOST_CHILDREN = 1024


class GatewayMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        labels = ("route", "method", "status")
        self.requests = Counter("http_requests", "Requests answered.", labels, registry=registry)
        self.seconds = Histogram(
            "http_request_duration_seconds", "Time to the last byte.", labels, registry=registry, buckets=SECONDS
        )

        # `policy`: whose bucket paid, or was violated; the names of the table, a closed set.
        self.decisions = Counter(
            "rate_limit_decisions", "Requests let in or not.", ("policy", "result", "backend"), registry=registry
        )

        self.shed = Counter("requests_shed", "Requests refused for load.", ("route",), registry=registry)
        # hit: still true, said Redis. stale: unasked, as Redis is away. invalidated: it was there, and something moved.
        self.cached = Counter(
            "cache_requests", "Look-ups in the response cache.", ("namespace", "result"), registry=registry
        )

        # Finding a child by its labels costs more than counting in it.
        self._of_answer = lru_cache(MOST_CHILDREN)(self._find_answer)
        self._of_decision = lru_cache(MOST_CHILDREN)(self.decisions.labels)
        self._of_look_up = lru_cache(MOST_CHILDREN)(self.cached.labels)

    def looked_up(self, namespace: str, result: str) -> None:
        self._of_look_up(namespace, result).inc()

    def decided(self, policy: str, result: str, backend: str) -> None:
        self._of_decision(policy, result, backend).inc()

    def answered(self, route: str | None, method: str, status: int, seconds: float) -> None:
        """`route` as `METHOD /path/{parameter}`."""
        count, duration = self._of_answer(route, method, status)
        count.inc()
        duration.observe(seconds)

    def _find_answer(self, route: str | None, method: str, status: int) -> tuple[Counter, Histogram]:
        labels = ((route or "").partition(" ")[2] or "unmatched", method, str(status))
        return self.requests.labels(*labels), self.seconds.labels(*labels)
