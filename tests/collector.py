"""A small OpenTelemetry collector: keeps what it is sent over OTLP/HTTP."""

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric, ResourceMetrics
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans


@dataclass
class Collector:
    url: str
    resource_metrics: list[ResourceMetrics] = field(default_factory=list)
    resource_spans: list[ResourceSpans] = field(default_factory=list)
    received: threading.Event = field(default_factory=threading.Event)

    def take(self, path: str, body: bytes) -> None:
        if path == "/v1/metrics":
            self.resource_metrics.extend(ExportMetricsServiceRequest.FromString(body).resource_metrics)
        else:
            self.resource_spans.extend(ExportTraceServiceRequest.FromString(body).resource_spans)
        self.received.set()

    @property
    def metrics(self) -> dict[str, Metric]:
        return {m.name: m for r in self.resource_metrics for scope in r.scope_metrics for m in scope.metrics}


@contextmanager
def collecting() -> Iterator[Collector]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            collector.take(self.path, gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """The test runner's output is not the place for an access log."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    collector = Collector(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
