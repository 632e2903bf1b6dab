"""What patterns counts."""

from prometheus_client import CollectorRegistry, Counter, Histogram

from shared.telemetry import SECONDS


class PatternsMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.categorized = Counter("fixes_categorized", "Fixes by category.", ("category",), registry=registry)
        self.duplicates = Counter("fixes_duplicate", "Fixes that repeat a recent one.", registry=registry)
        self.patterns = Counter("patterns_detected", "New patterns.", registry=registry)
        self.analysis = Histogram(
            "pattern_analysis_duration_seconds", "Diff to analysis, one.", registry=registry, buckets=SECONDS
        )
