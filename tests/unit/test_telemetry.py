"""Traces continue across messages; each case runs in a process of its own, because a process has one provider."""

import asyncio
import json
import re
import subprocess
import sys
import time
from typing import Any

from prometheus_client import CollectorRegistry, Gauge

from shared import telemetry
from shared.telemetry import EXPORT_SECONDS, BusMetrics, new_registry, watch_loop
from tests.collector import collecting
from tests.servers import free_port

TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")

TWO_SERVICES = """
import json, sys
from shared.telemetry import set_up_traces, span, trace_headers
set_up_traces("scoring", sys.argv[1])
with span("submit"):
    sent = trace_headers()
with span("process", sent, **{"messaging.system": "nats"}):
    answered = trace_headers()
with span("process", {"traceparent": "nonsense"}):
    other = trace_headers()
print(json.dumps([sent, answered, other, trace_headers()]))
"""


def run(endpoint: str) -> list[dict[str, str]]:
    done = subprocess.run(
        [sys.executable, "-c", TWO_SERVICES, endpoint], capture_output=True, text=True, check=True, timeout=60
    )
    said: list[dict[str, str]] = json.loads(done.stdout.splitlines()[0])
    return said


def trace_and_span(headers: dict[str, str]) -> tuple[str, str]:
    found = TRACEPARENT.fullmatch(headers["traceparent"])
    assert found
    return found[1], found[2]


def test_a_message_carries_the_trace_on_even_when_nothing_is_exported() -> None:
    sent, answered, other, outside = run("")
    assert trace_and_span(sent)[0] == trace_and_span(answered)[0]
    assert trace_and_span(sent)[1] != trace_and_span(answered)[1]
    assert trace_and_span(other)[0] != trace_and_span(sent)[0], "a header that is no trace begins a new one"
    assert outside == {}


def test_a_collector_receives_the_spans_as_parent_and_child() -> None:
    with collecting() as collector:
        run(collector.url)
    [resource] = collector.resource_spans
    names = {a.key: a.value.string_value for a in resource.resource.attributes}
    assert names["service.name"] == "precedent-scoring"
    submit, process, other = resource.scope_spans[0].spans
    assert (process.parent_span_id, process.trace_id) == (submit.span_id, submit.trace_id)
    assert [(a.key, a.value.string_value) for a in process.attributes] == [("messaging.system", "nats")]
    assert not other.parent_span_id


def test_a_collector_that_is_away_holds_up_no_process() -> None:
    start = time.monotonic()
    run("")
    without = time.monotonic() - start
    run(f"http://127.0.0.1:{free_port()}")
    assert time.monotonic() - start - 2 * without < EXPORT_SECONDS + 2


def test_two_applications_in_one_process_count_apart() -> None:
    first, second = new_registry(), new_registry()
    BusMetrics(first).lag.labels("scoring").set(3)
    BusMetrics(second)
    assert first.get_sample_value("bus_consumer_lag", {"consumer": "scoring"}) == 3
    assert second.get_sample_value("bus_consumer_lag", {"consumer": "scoring"}) is None


async def test_a_loop_that_is_kept_busy_is_seen(monkeypatch: Any) -> None:
    monkeypatch.setattr(telemetry, "LAG_INTERVAL_SECONDS", 0.02)
    registry = CollectorRegistry()
    task = asyncio.create_task(watch_loop(Gauge("lag", "Lag.", registry=registry)))
    await asyncio.sleep(0.01)
    time.sleep(0.2)
    for _ in range(5):  # the timer fires, its future wakes the task, the task runs
        await asyncio.sleep(0)
    task.cancel()
    assert (registry.get_sample_value("lag") or 0) > 0.1
