"""What is counted without the library is told as the library tells it."""

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.exposition import generate_latest

from services.gateway.tallies import Tally, Timing
from shared.telemetry import SECONDS

ANSWERS = {("/v1/fixes", "GET", "200"): [0.0004, 0.0005, 0.3, 99.0], ("unmatched", "GET", "404"): [1.0]}


def told(registry: CollectorRegistry) -> list[str]:
    return sorted(line for line in generate_latest(registry).decode().splitlines() if "_created" not in line)


def test_a_tally_is_told_as_a_counter() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    tally = Tally("decisions", "Let in or not.", ("policy", "result"), ours)
    counter = Counter("decisions", "Let in or not.", ("policy", "result"), registry=theirs)
    for labels in [("user", "allowed"), ("user", "allowed"), ('a"b', "refused")]:
        tally.count(*labels)
        counter.labels(*labels).inc()
    assert told(ours) == told(theirs)
    assert 'decisions_total{policy="user",result="allowed"} 2.0' in told(ours)


def test_a_timing_is_told_as_a_histogram_and_a_counter() -> None:
    ours, theirs, names = CollectorRegistry(), CollectorRegistry(), ("route", "method", "status")
    timing = Timing(("requests", "Answered."), ("request_duration_seconds", "Time."), names, SECONDS, ours)
    counter = Counter("requests", "Answered.", names, registry=theirs)
    histogram = Histogram("request_duration_seconds", "Time.", names, registry=theirs, buckets=SECONDS)
    for labels, times in ANSWERS.items():
        for seconds in times:
            timing.observe(timing.of(labels), seconds)
            counter.labels(*labels).inc()
            histogram.labels(*labels).observe(seconds)
    assert told(ours) == told(theirs)
    assert 'request_duration_seconds_bucket{le="0.0005",method="GET",route="/v1/fixes",status="200"} 2.0' in told(ours)
