"""What scoring counts. Label sets are closed: an agent appears as its kind, never by name."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from services.scoring.store import Scored
from shared.agents import agent_kind
from shared.contracts.fixes import SETTLED
from shared.features.vector import normalize_fix_type

# One row takes some ten microseconds, a group of the largest size a few milliseconds.
INFERENCE = (1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 5e-2)
CONFIDENCE = tuple(step / 20 for step in range(1, 21))


class ScoringMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._fixes = Counter(
            "agent_fixes", "Fixes by what became of them.", ("agent_kind", "category", "status"), registry=registry
        )
        self._confidence = Histogram(
            "ml_confidence_score",
            "Probability that a fix will hold.",
            ("source", "model_version"),
            registry=registry,
            buckets=CONFIDENCE,
        )
        self.inference = Histogram(
            "ml_inference_duration_seconds", "Vectors to confidences, a group.", registry=registry, buckets=INFERENCE
        )
        self.model_faults = Counter("ml_model_faults", "Promoted models that could not be served.", registry=registry)

        self._outcomes = Gauge(
            "ml_live_outcomes", "Outcomes that came after the champion's prediction, of the newest.", registry=registry
        )
        self._error = Gauge(
            "ml_calibration_error", "Expected calibration error on those outcomes.", ("kind",), registry=registry
        )
        self._shift = Gauge(
            "ml_score_shift", "Population stability index: the latest scores against the first.", registry=registry
        )

    def turned_out(self, outcomes: int, error: float | None) -> None:
        """An error that nothing is known of is not shown."""
        self._outcomes.set(outcomes)
        self._error.clear()
        if error is not None:
            self._error.labels("confidence").set(error)

    def shifted(self, shift: float | None) -> None:
        self._shift.set(float("nan") if shift is None else shift)

    def scored(self, item: Scored) -> None:
        """`category` is the declared type: what patterns finds is counted there."""
        status = SETTLED.get(item.fix.outcome.kind, "scored") if item.fix.outcome else "scored"
        self._fixes.labels(agent_kind(item.fix.agent_id), normalize_fix_type(item.fix.fix_type) or "none", status).inc()
        self._confidence.labels(item.source, item.model_version or "none").observe(item.confidence)
