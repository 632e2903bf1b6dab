"""CloudEvents 1.0, binary mode: the attributes travel as NATS headers, the payload is the event alone."""

from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import msgspec
import pytest

from shared.contracts.envelope import seal, unseal
from shared.contracts.knowledge import LearningChanged
from tests.contracts.events import EVENTS
from tests.contracts.test_events import golden

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


@pytest.mark.parametrize("subject", sorted(EVENTS))
def test_every_event_travels_with_the_attributes_of_a_cloud_event(subject: str) -> None:
    event = golden(subject)
    envelope = seal(event, source="scoring", now=NOW)
    assert envelope.headers == {
        "ce-specversion": "1.0",
        "ce-id": str(event.event_id()),
        "Nats-Msg-Id": str(event.event_id()),
        "ce-type": subject,
        "ce-source": "/services/scoring",
        "ce-subject": event.subject_id(),
        "ce-time": "2026-03-04T05:06:07Z",
        "content-type": "application/json",
    }
    assert (envelope.subject, envelope.event_id) == (subject, event.event_id())


@pytest.mark.parametrize("subject", sorted(EVENTS))
def test_what_was_sealed_is_unsealed_the_same(subject: str) -> None:
    event = golden(subject)
    assert unseal(type(event), seal(event, source="scoring", now=NOW).payload) == event


@pytest.mark.parametrize("subject", sorted(EVENTS))
def test_every_header_is_one_line_of_ascii(subject: str) -> None:
    """NATS frames headers by lines; what a submitter wrote freely never gets into one."""
    for name, value in seal(golden(subject), source="scoring", now=NOW).headers.items():
        assert f"{name}{value}".isascii()
        assert f"{name}{value}".isprintable()


def test_the_time_of_an_event_is_said_in_utc() -> None:
    event = LearningChanged(id=UUID(int=1), version=1)
    there = NOW.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert seal(event, source="patterns", now=there).headers["ce-time"] == "2026-03-04T05:06:07Z"


def test_the_trace_travels_beside_the_attributes() -> None:
    trace = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
    headers = seal(LearningChanged(id=UUID(int=1), version=1), source="patterns", now=NOW, trace=trace).headers
    assert headers["traceparent"] == trace["traceparent"]
    assert headers["ce-type"] == "learnings.changed.v1"


@pytest.mark.parametrize("payload", [b"", b"nonsense", b"[]", b'{"id": "no uuid", "version": 1}', b'{"version": 1}'])
def test_a_payload_that_is_no_such_event_is_refused(payload: bytes) -> None:
    with pytest.raises(msgspec.MsgspecError):
        unseal(LearningChanged, payload)
