"""Whether a failure is the message's own or the connection's, and what is said of an outage."""

from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import asyncpg
import nats
import pytest
from faststream.exceptions import NackMessage
from nats.aio.msg import Msg
from prometheus_client import CollectorRegistry

from shared import delivery
from shared.contracts.envelope import seal
from shared.contracts.fixes import FixSubmitted
from shared.delivery import MOST_CUTS, Delivery
from shared.telemetry import BusMetrics
from tests.bus import submitted

CUTS = [
    asyncpg.CannotConnectNowError("the database system is in recovery mode"),
    asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation"),
    asyncpg.InterfaceError("cannot call fetch(): the underlying connection is closed"),
    ConnectionResetError("Connection reset by peer"),
    nats.errors.ConnectionClosedError(),
]
FAILURES = [RuntimeError("no luck"), TimeoutError(), asyncpg.InterfaceError("another operation is in progress")]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "HOLD_SECONDS", 0.0)


def delivery_on(alive: Callable[[], bool]) -> Delivery:
    """NATS is there; Postgres is as `alive` says."""

    async def ask() -> bool:
        return alive()

    bus: Any = SimpleNamespace(connected=True, service="scoring")
    database: Any = SimpleNamespace(alive=ask)
    registry = CollectorRegistry()
    return Delivery(bus, database, BusMetrics(registry), registry)


def message() -> Any:
    envelope = seal(submitted(), source="test", now=datetime.now(UTC))
    reply = "$JS.ACK.FIXES.scoring.1.5.5.1.0"
    return Msg(None, envelope.subject, reply, envelope.payload, dict(envelope.headers))  # type: ignore[arg-type]


class Fails:
    """With that error, so many times."""

    def __init__(self, error: Exception, times: int) -> None:
        self.error, self.times, self.calls = error, times, 0

    async def __call__(self, event: FixSubmitted, _: Msg) -> None:
        self.calls += 1
        if self.calls <= self.times:
            raise self.error


@pytest.mark.parametrize("error", CUTS, ids=lambda e: type(e).__name__)
async def test_who_was_cut_off_tries_again_uncounted_though_the_store_is_back_already(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    handler = Fails(error, times=3)
    await delivery_on(lambda: True).of(FixSubmitted, handler)(message())
    assert handler.calls == 4
    assert not any(record.exc_info for record in caplog.records)


@pytest.mark.parametrize("error", FAILURES, ids=lambda e: type(e).__name__)
async def test_a_failure_of_its_own_is_counted_at_once(error: Exception) -> None:
    handler = Fails(error, times=1)
    with pytest.raises(NackMessage):
        await delivery_on(lambda: True).of(FixSubmitted, handler)(message())
    assert handler.calls == 1


async def test_one_that_is_cut_off_again_and_again_is_counted_in_the_end() -> None:
    handler = Fails(CUTS[0], times=1000)
    with pytest.raises(NackMessage):
        await delivery_on(lambda: True).of(FixSubmitted, handler)(message())
    assert handler.calls == MOST_CUTS + 1


async def test_an_outage_is_told_once_for_all_messages_of_a_subject(caplog: pytest.LogCaptureFixture) -> None:
    looks = iter([False] * 5)
    held = delivery_on(lambda: next(looks, True))
    for _ in range(2):
        await held.of(FixSubmitted, Fails(ConnectionRefusedError(), times=2))(message())
    said = [record.getMessage() for record in caplog.records]
    assert said == [f"{FixSubmitted.SUBJECT} waits: Postgres or NATS is away (ConnectionRefusedError)"]
