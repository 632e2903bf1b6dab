"""The same numbers go out over OTLP as `/metrics` shows."""

import asyncio
import math
import time
from typing import Any

import pytest
from opentelemetry.sdk.metrics.export import Metric
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from shared import otlp_metrics
from shared.otlp_metrics import export_metrics, to_otlp
from shared.telemetry import new_registry
from tests.collector import collecting
from tests.servers import free_port

STARTED_NS, NOW_NS = 1_000, 2_000


def converted(registry: CollectorRegistry) -> dict[str, Metric]:
    [resource] = to_otlp(registry.collect(), "scoring", STARTED_NS, NOW_NS).resource_metrics
    assert resource.resource.attributes["service.name"] == "precedent-scoring"
    [scope] = resource.scope_metrics
    return {metric.name: metric for metric in scope.metrics}


def points(metric: Metric) -> list[Any]:
    assert all((p.start_time_unix_nano, p.time_unix_nano) == (STARTED_NS, NOW_NS) for p in metric.data.data_points)
    return list(metric.data.data_points)


def test_a_counter_becomes_a_monotonic_sum_under_the_name_that_metrics_shows() -> None:
    registry = CollectorRegistry()
    counter = Counter("agent_fixes", "Fixes.", ("status",), registry=registry)
    counter.labels("scored").inc(3)
    counter.labels("rejected").inc()
    metric = converted(registry)["agent_fixes_total"]
    assert metric.data.is_monotonic is True  # type: ignore[union-attr]
    assert metric.description == "Fixes."
    assert [(p.attributes, p.value) for p in points(metric)] == [({"status": "scored"}, 3), ({"status": "rejected"}, 1)]


def test_a_gauge_stays_a_gauge() -> None:
    registry = CollectorRegistry()
    Gauge("bus_consumer_lag", "Lag.", ("consumer",), registry=registry).labels("scoring").set(-2.5)
    [point] = points(converted(registry)["bus_consumer_lag"])
    assert (point.attributes, point.value) == ({"consumer": "scoring"}, -2.5)


def test_a_histogram_keeps_its_buckets_and_its_series_apart() -> None:
    registry = CollectorRegistry()
    histogram = Histogram("seconds", "Time.", ("route",), registry=registry, buckets=(0.1, 1.0))
    for value in (0.05, 0.1, 0.5, 30.0):
        histogram.labels("/a").observe(value)
    histogram.labels("/b").observe(0.7)
    a, b = points(converted(registry)["seconds"])
    assert a.attributes == {"route": "/a"}
    assert (a.explicit_bounds, a.bucket_counts) == ([0.1, 1.0], [2, 1, 1])
    assert (a.count, a.sum) == (4, pytest.approx(30.65))
    assert (b.attributes, b.bucket_counts, b.count) == ({"route": "/b"}, [0, 1, 0], 1)


def test_a_histogram_claims_no_extremes_that_nobody_measured() -> None:
    registry = CollectorRegistry()
    Histogram("seconds", "Time.", registry=registry).observe(0.05)
    [point] = points(converted(registry)["seconds"])
    assert (point.min, point.max) == (None, None)


def test_a_metric_without_samples_is_left_out() -> None:
    registry = CollectorRegistry()
    Counter("silent", "Never counted.", ("label",), registry=registry)
    assert converted(registry) == {}


def test_what_every_process_says_of_itself_is_converted() -> None:
    found = converted(new_registry())
    assert found["process_resident_memory_bytes"].data.data_points[0].value > 1e6  # type: ignore[union-attr]
    assert all(math.isfinite(p.value) for m in found.values() for p in m.data.data_points)  # type: ignore[union-attr]


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otlp_metrics, "INTERVAL_SECONDS", 0.02)


@pytest.mark.usefixtures("often")
async def test_a_collector_receives_the_metrics() -> None:
    registry = CollectorRegistry()
    Counter("agent_fixes", "Fixes.", ("status",), registry=registry).labels("scored").inc(3)
    Histogram("seconds", "Time.", registry=registry, buckets=(0.1, 1.0)).observe(0.5)
    with collecting() as collector:
        task = asyncio.create_task(export_metrics(registry, "scoring", f"{collector.url}/"))
        assert await asyncio.to_thread(collector.received.wait, 10)
        await ended(task)
    [fixes] = collector.metrics["agent_fixes_total"].sum.data_points
    [seconds] = collector.metrics["seconds"].histogram.data_points
    assert fixes.as_double == 3
    assert (list(seconds.bucket_counts), seconds.sum, seconds.HasField("min")) == ([0, 1, 0], 0.5, False)


@pytest.mark.usefixtures("often")
async def test_a_collector_that_is_away_ends_nothing_and_holds_up_no_shutdown() -> None:
    async def process() -> bool:
        task = asyncio.create_task(export_metrics(CollectorRegistry(), "scoring", f"http://127.0.0.1:{free_port()}"))
        await asyncio.sleep(0.5)
        survived = not task.done()
        await ended(task)
        return survived

    before = time.monotonic()
    # The end of a loop waits for the threads it has lent, as the end of a service does.
    assert await asyncio.to_thread(asyncio.run, process())
    assert time.monotonic() - before < 3


async def ended(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
