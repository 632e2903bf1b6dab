"""Logs: one JSON document a line for machines, short lines for people."""

import json
import logging
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest
from opentelemetry.trace import NonRecordingSpan, SpanContext, use_span

from shared.bus import told
from shared.logs import QUIET, set_up_logs


@pytest.fixture
def out(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[], str]]:
    """Answers what the process has printed; the test runner's own handlers come back afterwards."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in QUIET}
    root.handlers = []
    yield lambda: capsys.readouterr().out
    root.handlers = before
    root.setLevel(level)
    for name, was in levels.items():
        logging.getLogger(name).setLevel(was)


def lines(out: Callable[[], str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out().splitlines()]


def test_a_line_says_when_who_and_what(out: Callable[[], str]) -> None:
    set_up_logs("scoring", level="info", style="json")
    logging.getLogger("some.module").warning("%d fixes wait für %s", 3, "Postgres\nand NATS")
    [line] = lines(out)
    assert datetime.fromisoformat(line.pop("time")).utcoffset() is not None
    assert line == {
        "level": "warning",
        "service": "scoring",
        "logger": "some.module",
        "message": "3 fixes wait für Postgres\nand NATS",
    }


def test_an_exception_stays_on_the_line_of_its_message(out: Callable[[], str]) -> None:
    set_up_logs("scoring", level="INFO", style="json")
    try:
        raise ValueError("the reason")
    except ValueError:
        logging.getLogger("x").exception("failed")
    [line] = lines(out)
    assert line["exception"].startswith("Traceback")
    assert line["exception"].endswith("ValueError: the reason")


def test_a_line_written_within_a_trace_carries_its_id(out: Callable[[], str]) -> None:
    set_up_logs("scoring", level="INFO", style="json")
    with use_span(NonRecordingSpan(SpanContext(trace_id=0xABC, span_id=1, is_remote=False))):
        logging.getLogger("x").info("inside")
    logging.getLogger("x").info("outside")
    inside, outside = lines(out)
    assert inside["trace_id"] == f"{0xABC:032x}"
    assert "trace_id" not in outside


def test_people_read_short_lines(out: Callable[[], str]) -> None:
    set_up_logs("scoring", level="INFO", style="console")
    logging.getLogger("x").info("scoring is ready")
    assert out() == "INFO    scoring is ready\n"


def test_the_level_is_kept_and_libraries_speak_only_of_trouble(out: Callable[[], str]) -> None:
    set_up_logs("scoring", level="debug", style="json")
    logging.getLogger("ours").debug("seen")
    for name in QUIET:
        logging.getLogger(name).info("not seen")
        logging.getLogger(f"{name}.part").warning("seen too")
    assert [line["message"] for line in lines(out)] == ["seen"] + ["seen too"] * len(QUIET)


def test_a_library_with_a_handler_of_its_own_writes_the_same_lines_as_all(out: Callable[[], str]) -> None:
    faststream = logging.getLogger("faststream")
    faststream.addHandler(logging.StreamHandler())
    faststream.propagate = False
    set_up_logs("scoring", level="INFO", style="json")
    faststream.warning("the connection is gone")
    assert [(line["logger"], line["message"]) for line in lines(out)] == [("faststream", "the connection is gone")]


def test_to_set_up_twice_says_nothing_twice(out: Callable[[], str]) -> None:
    set_up_logs("scoring", level="INFO", style="json")
    set_up_logs("scoring", level="INFO", style="json")
    logging.getLogger("x").info("once")
    assert len(lines(out)) == 1


async def test_an_error_without_words_is_named(caplog: pytest.LogCaptureFixture) -> None:
    await told(TimeoutError())
    assert caplog.messages == ["NATS: TimeoutError"]
