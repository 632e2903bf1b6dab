"""Traces by OpenTelemetry; metrics declared once with prometheus-client and sent out both ways.

Nothing leaves the process unless `PRECEDENT_OTLP_ENDPOINT` is set; `/metrics` always answers.
"""

import asyncio
import random
import re
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from opentelemetry import context, propagate, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON
from prometheus_client import CollectorRegistry, Gauge, Histogram
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

# From half a millisecond, a fast handler, to ten seconds, a slow training step.
SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
LAG_INTERVAL_SECONDS = 0.5
# With its retries. The end of a process sends what is left, and must not wait long for a collector that is away.
EXPORT_SECONDS = 2.0

_TRACEPARENT = re.compile("00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})")
_tracer = trace.get_tracer("precedent")


def new_registry() -> CollectorRegistry:
    """One registry an app, so that two apps in one process do not collide. Carries `process_*`."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


class BusMetrics:
    """What every service that hears the bus counts. Labels are closed sets: subjects and results, never ids."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.handled = Histogram(
            "bus_handler_duration_seconds",
            "Time from delivery to acknowledgement.",
            ("subject", "result"),
            registry=registry,
            buckets=SECONDS,
        )
        self.lag = Gauge("bus_consumer_lag", "Messages not yet delivered.", ("consumer",), registry=registry)
        self.loop_lag = Gauge("event_loop_lag_seconds", "How late the event loop woke up.", registry=registry)


def set_up_traces(service: str, endpoint: str) -> None:
    """Sends spans to `endpoint` (OTLP over HTTP); without one, trace ids still travel but nothing is exported."""
    # A span that nobody will see costs a message a tenth of its handling; its ids travel all the same.
    sampler = ALWAYS_ON if endpoint else ALWAYS_OFF
    provider = TracerProvider(sampler, Resource.create({"service.name": f"precedent-{service}"}))
    if endpoint:
        exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=EXPORT_SECONDS)
        provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)


def trace_headers() -> dict[str, str]:
    """W3C `traceparent` of the current span, for the headers of a message; nothing outside of one."""
    ids = trace.get_current_span().get_span_context()
    if not ids.is_valid:
        return {}
    headers = {"traceparent": f"00-{ids.trace_id:032x}-{ids.span_id:016x}-{ids.trace_flags:02x}"}
    return headers | {"tracestate": ids.trace_state.to_header()} if ids.trace_state else headers


def span(name: str, headers: dict[str, str] | None = None, **attributes: Any) -> AbstractContextManager[trace.Span]:
    """A span that continues the trace of `headers`, where there is one."""
    headers = headers or {}
    if getattr(trace.get_tracer_provider(), "sampler", None) is ALWAYS_OFF and "tracestate" not in headers:
        unseen = _unseen(headers.get("traceparent"))
        if unseen is not None:
            return _Unseen(unseen)
    return _tracer.start_as_current_span(name, context=propagate.extract(headers), attributes=attributes)


class _Unseen(AbstractContextManager[trace.Span]):
    """The current span, of which nothing is kept: `use_span` without what it does to tell of errors."""

    def __init__(self, ids: trace.SpanContext) -> None:
        self._span = trace.NonRecordingSpan(ids)

    def __enter__(self) -> trace.Span:
        self._before = context.attach(trace.set_span_in_context(self._span))
        return self._span

    def __exit__(self, *_: object) -> None:
        context.detach(self._before)


def _unseen(traceparent: str | None) -> trace.SpanContext | None:
    """The ids that the tracer gives to a span that nobody will see, in a quarter of its time; None = let it do so."""
    if traceparent is None:
        trace_id, flags = random.getrandbits(128), trace.TraceFlags.RANDOM_TRACE_ID
    elif found := _TRACEPARENT.fullmatch(traceparent):
        trace_id, flags = int(found[1], 16), int(found[2], 16) & trace.TraceFlags.RANDOM_TRACE_ID
    else:
        return None
    return trace.SpanContext(trace_id, random.getrandbits(64), is_remote=False, trace_flags=trace.TraceFlags(flags))


async def watch_loop(gauge: Gauge, woke: Callable[[float], None] | None = None) -> None:
    """Runs until cancelled. `woke` hears, too, how many seconds late the loop was."""
    while True:
        before = time.perf_counter()
        await asyncio.sleep(LAG_INTERVAL_SECONDS)
        late = max(0.0, time.perf_counter() - before - LAG_INTERVAL_SECONDS)
        gauge.set(late)
        if woke is not None:
            woke(late)
