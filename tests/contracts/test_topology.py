"""Subjects, streams and consumers agree."""

import re

import pytest

from shared.contracts import commands
from shared.topology import STREAMS, WORK, Stream, Work, consumer_config, stream_config
from tests.contracts.events import EVENTS

COMMANDS = [v for k, v in vars(commands).items() if k.isupper() and isinstance(v, str)]


def captures(pattern: str, subject: str) -> bool:
    """NATS's own rule: `*` is one token, a last `>` one or more."""
    expression = re.escape(pattern).replace(r"\*", "[^.]+").removesuffix(">") + (".+" if pattern.endswith(">") else "")
    return re.fullmatch(expression, subject) is not None


def streams_of(subject: str) -> list[str]:
    return [s.name for s in STREAMS if any(captures(pattern, subject) for pattern in s.subjects)]


@pytest.mark.parametrize("subject", sorted(EVENTS))
def test_every_event_is_kept_by_exactly_one_stream(subject: str) -> None:
    assert len(streams_of(subject)) == 1


@pytest.mark.parametrize("subject", sorted(EVENTS))
def test_every_event_carries_its_version_in_its_subject(subject: str) -> None:
    assert subject.endswith(".v1")


def test_every_dead_letter_is_kept_by_the_stream_of_the_dead_alone() -> None:
    for item in WORK:
        assert streams_of(f"dead.{item.service}.{item.subject}") == ["DEAD"]


def test_what_answers_a_request_is_kept_by_no_stream() -> None:
    """JetStream would acknowledge the request, and the caller would take that for the answer."""
    assert len(COMMANDS) > 5
    assert {c: streams_of(c) for c in COMMANDS} == {c: [] for c in COMMANDS}
    assert streams_of("keys.changed.v1") == []


def test_every_consumer_reads_an_event_from_the_stream_that_keeps_it() -> None:
    for item in WORK:
        assert item.subject in EVENTS
        assert streams_of(item.subject) == [item.stream]


def test_no_two_consumers_share_a_name() -> None:
    assert len({(w.stream, w.durable) for w in WORK}) == len(WORK)


@pytest.mark.parametrize("stream", STREAMS, ids=lambda s: s.name)
def test_every_stream_keeps_its_messages_on_disk_and_refuses_new_ones_when_full(stream: Stream) -> None:
    config = stream_config(stream, 1 << 30)
    assert (config.storage, config.discard, config.retention) == ("file", "new", "limits")
    assert config.max_age == (30 if config.name == "DEAD" else 7) * 86_400
    assert config.max_bytes


def test_the_streams_share_the_log_among_them() -> None:
    assert sum(s.share for s in STREAMS) == pytest.approx(1)


@pytest.mark.parametrize("item", WORK, ids=lambda w: w.durable)
def test_no_consumer_gives_a_message_up_by_itself(item: Work) -> None:
    config = consumer_config(item)
    assert config.max_deliver == -1
    assert config.ack_policy == "explicit"
