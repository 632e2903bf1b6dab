"""What the trainer counts beside what every worker does."""

from prometheus_client import CollectorRegistry, Gauge, Histogram

# A refused set takes milliseconds, a million rows minutes.
RUN_SECONDS = (0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0)


class TrainerMetrics:
    """Labels are closed sets: a kind is `confidence` or `category`, a status `succeeded`, `failed` or `stopped`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.runs = Histogram(
            "training_run_duration_seconds",
            "Time from a request's first row to its registered model.",
            ("kind", "status"),
            registry=registry,
            buckets=RUN_SECONDS,
        )
        self.calibration_error = Gauge(
            "ml_calibration_error",
            "Expected calibration error of the champion on its evaluation rows.",
            ("kind",),
            registry=registry,
        )
