"""What patterns counts."""

from collections.abc import Iterable
from math import nan

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from shared.telemetry import SECONDS


class PatternsMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.categorized = Counter("fixes_categorized", "Fixes by category.", ("category",), registry=registry)
        self.duplicates = Counter("fixes_duplicate", "Fixes that repeat a recent one.", registry=registry)
        self.patterns = Counter("patterns_detected", "New patterns.", registry=registry)
        self.analysis = Histogram(
            "pattern_analysis_duration_seconds",
            "Of a fix the reading of its diff, of an analysis all of it.",
            registry=registry,
            buckets=SECONDS,
        )
        self.model_faults = Counter("ml_model_faults", "Promoted models that could not be served.", registry=registry)
        self.collaborations = Counter(
            "agent_collaborations", "Collaborations that came to a status.", ("type", "status"), registry=registry
        )
        self.success = Gauge(
            "agent_collaboration_success_ratio",
            "Of all that ended, the share with an accepted solution; the same at every replica, NaN while none ended.",
            registry=registry,
        )
        self.success.set(nan)

    def collaborated(self, kind: str, statuses: Iterable[str]) -> None:
        for status in statuses:
            self.collaborations.labels(kind, status).inc()

    def ended(self, resolved: int, ended: int) -> None:
        self.success.set(resolved / ended if ended else nan)
