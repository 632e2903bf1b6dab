"""How the services hear the bus. Each rule is a trap of the framework that somebody once walked into."""

import importlib
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from faststream import AckPolicy

from shared.bus import Bus
from shared.contracts import commands
from shared.topology import WORK, Work
from shared.worker import Worker
from tests.architecture.source import ROOMS, SERVICES, files, names_used
from tests.world import settings_of

# Nothing listens there: to be wired is not to be connected.
URLS = {
    "nats_url": "nats://127.0.0.1:1",
    "database_url": "postgresql://nobody@127.0.0.1:1/none",
    "redis_url": "redis://127.0.0.1:1/0",
}
COMMANDS = {v for k, v in vars(commands).items() if k.isupper() and isinstance(v, str)}
DECLARES = {
    "add_consumer",
    "add_stream",
    "create_key_value",
    "create_object_store",
    "ConsumerConfig",
    "KeyValueConfig",
    "ObjectStoreConfig",
    "StreamConfig",
    "update_stream",
}


@cache
def bus_of(service: str) -> Bus:
    """As it is once the service has begun: what waits for its turn is heard too."""
    create_app = importlib.import_module(f"services.{service}.app").create_app
    settings = settings_of(service)(**URLS)
    if service == "gateway":
        bus: Bus = create_app(settings).runtime.bus
        return bus
    worker: Worker = create_app(settings)
    for pull in worker.pulls:
        worker.bus.hear_work(pull._subject)(pull._handle)
    return worker.bus


@pytest.fixture(params=SERVICES)
def service(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def heard(service: str) -> Iterator[tuple[str, Any]]:
    """(subject, subscriber) of the work."""
    for subscriber in bus_of(service).broker.subscribers:
        yield subscriber._subject, subscriber


def test_every_service_hears_something(service: str) -> None:
    assert [*heard(service), *bus_of(service).heard_by_all]


def test_the_framework_hears_work_alone(service: str) -> None:
    assert all(hasattr(subscriber, "pull_sub") for _, subscriber in heard(service))


def test_every_subscriber_states_its_ack_policy(service: str) -> None:
    """The framework's own choice, reject on error, drops a message for good when Postgres is away."""
    for subject, subscriber in heard(service):
        assert (subject, subscriber.ack_policy) == (subject, AckPolicy.NACK_ON_ERROR)


def test_no_subscriber_of_an_event_answers_its_publisher(service: str) -> None:
    """It would answer into the inbox where the publisher waits for JetStream's acknowledgement."""
    for subject, subscriber in heard(service):
        assert (subject, subscriber._no_reply) == (subject, True)


def test_every_command_is_answered_by_the_service_that_it_names_and_by_no_other() -> None:
    answered = {subject: name for name in SERVICES for subject in bus_of(name).answers}
    assert answered == {subject: subject.split(".")[0] for subject in COMMANDS}
    assert sum(len(bus_of(name).answers) for name in SERVICES) == len(COMMANDS)


def test_the_connection_is_never_given_up(service: str) -> None:
    """Once the client is closed, the pull loop spins without awaiting and the whole process stands still."""
    bus = bus_of(service)
    for connection in (bus.connection, bus.broker._connection_kwargs):
        assert connection["max_reconnect_attempts"] == -1
        assert connection["allow_reconnect"] is True


def test_work_is_handed_over_message_by_message(service: str) -> None:
    """A batch waits out its whole timeout when it is not full, and is dropped by SIGTERM."""
    for subject, subscriber in heard(service):
        assert (subject, subscriber.pull_sub.batch) == (subject, False)
        assert subscriber.pull_sub.timeout >= 1, "shorter pulls let messages fall between two of them"


def test_no_subscriber_has_workers_of_its_own(service: str) -> None:
    for subject, subscriber in heard(service):
        assert (subject, hasattr(subscriber, "max_workers")) == (subject, False)
        assert not type(subscriber).__name__.startswith(("Concurrent", "Batch"))


def test_every_handler_of_work_goes_through_delivery(service: str) -> None:
    """It holds, retries with a delay and gives up; anything else would burn every try in milliseconds."""
    for subject, subscriber in heard(service):
        [call] = subscriber.calls
        assert (subject, call.handler._original_call.__qualname__) == (subject, "Delivery.of.<locals>.delivered")


def test_a_service_hears_the_durable_consumers_that_are_declared_for_it(service: str) -> None:
    found = {Work(service, s.stream.name, subject) for subject, s in heard(service)}
    assert found == {w for w in WORK if w.service == service}
    assert {s.extra_options["durable"] for _, s in heard(service)} == {w.durable for w in found}


def test_no_worker_declares_the_stream_it_reads(service: str) -> None:
    for subject, subscriber in heard(service):
        assert (subject, subscriber.stream.declare) == (subject, False)


def using(names: set[str], *rooms: str) -> set[str]:
    return {file for file in files(*rooms) if names_used(file) & names}


def test_subscribers_are_made_by_the_bus_alone() -> None:
    assert using({"subscriber"}, *ROOMS) == {"shared/bus.py"}
    assert using({"subscribe"}, *ROOMS) == {"shared/bus.py", "shared/nats_client.py"}
    # A stream in its order is followed by the client's own means.
    assert using({"hear"}, *ROOMS) == {
        "shared/bus.py", "shared/durable.py", "shared/nats_client.py", "services/gateway/follower.py"
    }  # fmt: skip


def test_consumers_are_read_by_the_framework_or_by_one_loop_of_ours() -> None:
    assert using({"pull_subscribe", "pull_subscribe_bind"}, *ROOMS) == {
        "services/gateway/follower.py",  # every replica's own, which acknowledges nothing
    }
    assert using({"Durable"}, *ROOMS) == {"shared/pull.py"}


def test_streams_consumers_and_buckets_are_declared_in_one_place() -> None:
    assert using(DECLARES, *ROOMS) == {"shared/topology.py"}


def test_what_a_service_hears_stands_in_one_place() -> None:
    workers = {f"services/{service}/handlers.py" for service in set(SERVICES) - {"gateway"}}
    assert using({"hear_all", "hear_at_once", "hear_work"}, "services") == workers | {"services/gateway/runtime.py"}
