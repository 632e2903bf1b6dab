"""Sends what `/metrics` shows over OTLP as well: one declaration of each metric, two ways out."""

import asyncio
import time
from collections.abc import Iterable, Sequence

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric as Family
from prometheus_client.samples import Sample

INTERVAL_SECONDS = 10.0
CUMULATIVE = AggregationTemporality.CUMULATIVE


def to_otlp(families: Iterable[Family], service: str, started_ns: int, now_ns: int) -> MetricsData:
    """Counters become monotonic sums, histograms keep their buckets, all else is a gauge."""
    metrics = [_metric(family, started_ns, now_ns) for family in families if family.samples]
    scope = ScopeMetrics(scope=InstrumentationScope("precedent"), metrics=metrics, schema_url="")
    resource = Resource.create({"service.name": f"precedent-{service}"})
    return MetricsData([ResourceMetrics(resource=resource, scope_metrics=[scope], schema_url="")])


def _metric(family: Family, started_ns: int, now_ns: int) -> Metric:
    data: Sum | Gauge | Histogram
    if family.type == "histogram":
        data = Histogram(_histograms(family.samples, started_ns, now_ns), CUMULATIVE)
    elif family.type == "counter":
        samples = [s for s in family.samples if s.name.endswith("_total")]
        data = Sum(_numbers(samples, started_ns, now_ns), CUMULATIVE, is_monotonic=True)
        return Metric(f"{family.name}_total", family.documentation, family.unit or "", data)
    else:
        data = Gauge(_numbers(family.samples, started_ns, now_ns))
    return Metric(family.name, family.documentation, family.unit or "", data)


def _numbers(samples: Sequence[Sample], started_ns: int, now_ns: int) -> list[NumberDataPoint]:
    return [NumberDataPoint(dict(s.labels), started_ns, now_ns, s.value) for s in samples]


def _histograms(samples: Sequence[Sample], started_ns: int, now_ns: int) -> list[HistogramDataPoint]:
    series: dict[tuple[tuple[str, str], ...], dict[str, list[Sample]]] = {}
    for sample in samples:
        labels = tuple(sorted((k, v) for k, v in sample.labels.items() if k != "le"))
        part = sample.name.rsplit("_", 1)[1]
        series.setdefault(labels, {}).setdefault(part, []).append(sample)
    return [_histogram(dict(labels), parts, started_ns, now_ns) for labels, parts in series.items()]


def _histogram(
    labels: dict[str, str], parts: dict[str, list[Sample]], started_ns: int, now_ns: int
) -> HistogramDataPoint:
    buckets = sorted(parts["bucket"], key=lambda s: float(s.labels["le"]))
    cumulative = [int(s.value) for s in buckets]
    counts = [b - a for a, b in zip([0, *cumulative], cumulative, strict=False)]
    bounds = [float(s.labels["le"]) for s in buckets[:-1]]
    total = parts["sum"][0].value
    # The registry keeps no extremes; None leaves the two optional fields out.
    return HistogramDataPoint(
        labels,
        started_ns,
        now_ns,
        cumulative[-1],
        total,
        counts,
        bounds,
        min=None,  # type: ignore[arg-type]
        max=None,  # type: ignore[arg-type]
    )


async def export_metrics(registry: CollectorRegistry, service: str, endpoint: str) -> None:
    """Runs until cancelled. A collector that is away costs nothing but the exporter's own log line."""
    exporter = OTLPMetricExporter(endpoint=f"{endpoint.rstrip('/')}/v1/metrics")
    started_ns = time.time_ns()
    try:
        while True:
            await asyncio.sleep(INTERVAL_SECONDS)
            data = to_otlp(registry.collect(), service, started_ns, time.time_ns())
            await asyncio.to_thread(exporter.export, data)
    finally:
        # Otherwise its thread goes on trying for ten seconds, and the end of the process waits for it.
        exporter.shutdown()
