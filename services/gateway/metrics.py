"""What the edge counts. The route is its template, so that ids do not become labels."""

from prometheus_client import CollectorRegistry, Counter, Histogram

from shared.telemetry import SECONDS


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

    def looked_up(self, namespace: str, result: str) -> None:
        self.cached.labels(namespace, result).inc()

    def decided(self, policy: str, result: str, backend: str) -> None:
        self.decisions.labels(policy, result, backend).inc()

    def answered(self, route: str | None, method: str, status: int, seconds: float) -> None:
        """`route` as `METHOD /path/{parameter}`."""
        labels = ((route or "unmatched").partition(" ")[2] or "unmatched", method, str(status))
        self.requests.labels(*labels).inc()
        self.seconds.labels(*labels).observe(seconds)
