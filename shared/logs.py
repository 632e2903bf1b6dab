"""Logs on standard output: JSON lines for machines, short lines for people (`PRECEDENT_LOG_FORMAT=console`)."""

import json
import logging
import sys
from datetime import UTC, datetime

from opentelemetry import trace

QUIET = ("nats", "faststream", "uvicorn.access", "httpx", "opentelemetry")


class JsonFormatter(logging.Formatter):
    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "service": self._service,
            "logger": record.name,
            "message": record.getMessage(),
        }
        context = trace.get_current_span().get_span_context()
        if context.is_valid:
            line["trace_id"] = f"{context.trace_id:032x}"
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def set_up_logs(service: str, *, level: str, style: str) -> None:
    handler = logging.StreamHandler(sys.stdout)
    console = logging.Formatter("%(levelname)-7s %(message)s")
    handler.setFormatter(console if style == "console" else JsonFormatter(service))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name in QUIET:
        library = logging.getLogger(name)
        library.setLevel(logging.WARNING)
        # FastStream brings a handler of its own, which writes coloured lines to standard error.
        library.handlers.clear()
        library.propagate = True
