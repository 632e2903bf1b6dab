"""The bus as it is described: what the source publishes and hears, and what the golden events look like."""

import ast
import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from services.gateway.asyncapi import COMMANDS, EVENTS, HEARD, SENT, document
from shared.contracts import commands
from shared.contracts.envelope import seal
from shared.topology import WORK
from tests.contracts.test_envelope import NOW
from tests.contracts.test_events import golden
from tests.contracts.test_topology import COMMANDS as SUBJECTS

SERVICES = Path(__file__).parents[2] / "services"
DOCUMENT = document()
MESSAGES = DOCUMENT["components"]["messages"]
every_event = pytest.mark.parametrize("subject", sorted(EVENTS))


def calls(service: str) -> list[ast.Call]:
    sources = (SERVICES / service).rglob("*.py")
    return [node for path in sources for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]


NAMES = {cls.__name__: subject for subject, cls in EVENTS.items()}


# Made where the present state is read, and not published.
READ_BACK = {
    ("patterns", "models.promoted.v1"),
    ("scoring", "models.promoted.v1"),
    ("scoring", "fixes.submitted.v1"),
}


def made(service: str) -> set[str]:
    """The events that the source of a service makes to publish them."""
    names = {node.func.id for node in calls(service) if isinstance(node.func, ast.Name)} & set(NAMES)
    return {NAMES[name] for name in names if (service, NAMES[name]) not in READ_BACK}


def heard(service: str) -> set[str]:
    """The events that every replica of a service subscribes to."""
    named = [n.args[0] for n in calls(service) if getattr(n.func, "attr", None) in ("hear_all", "hear_at_once")]
    classes = [node.value.id for node in named if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)]
    return {NAMES[name] for name in classes if name in NAMES}


@pytest.mark.parametrize("service", ["gateway", "scoring", "patterns", "trainer"])
def test_what_a_service_publishes_and_hears_is_described(service: str) -> None:
    assert made(service) <= {subject for subject, services in SENT.items() if service in services}
    assert heard(service) == {subject for subject, services in HEARD.items() if service in services}


def test_every_event_and_every_command_is_described() -> None:
    assert set(SENT) == set(EVENTS)
    assert set(COMMANDS) == set(SUBJECTS)
    assert set(DOCUMENT["channels"]) == {*EVENTS, *COMMANDS, *(f"{subject}.reply" for subject in COMMANDS)}


def test_every_consumer_is_an_operation() -> None:
    works = {name for name in DOCUMENT["operations"] if ".work." in name}
    assert works == {f"{item.service}.work.{item.subject}" for item in WORK}


def test_a_command_is_asked_with_what_its_service_reads() -> None:
    """The table in patterns: subject, class, handler."""
    tree = ast.parse((SERVICES / "patterns" / "handlers.py").read_text())
    rows = [node.elts for node in ast.walk(tree) if isinstance(node, ast.Tuple) and len(node.elts) == 3]
    read = {row[0].id: row[1].id for row in rows if isinstance(row[0], ast.Name) and isinstance(row[1], ast.Name)}
    read = {getattr(commands, name): cls for name, cls in read.items() if hasattr(commands, name)}
    assert read == {s: c.asks.__name__ for s, c in COMMANDS.items() if s.startswith("patterns.")}


@every_event
def test_an_event_as_it_travels_fits_its_description(subject: str) -> None:
    event = golden(subject)
    sealed = seal(event, source=SENT[subject][0], now=NOW)
    message = MESSAGES[type(event).__name__]
    _valid(message["headers"], dict(sealed.headers))
    _valid(message["payload"], json.loads(sealed.payload))


def _valid(schema: dict[str, Any], instance: Any) -> None:
    whole = schema | {"components": DOCUMENT["components"]}
    jsonschema_rs.validator_for(whole, validate_formats=True).validate(instance)


@every_event
def test_a_header_that_is_missing_does_not_fit(subject: str) -> None:
    headers = dict(seal(golden(subject), source=SENT[subject][0], now=NOW).headers)
    for name in headers:
        with pytest.raises(jsonschema_rs.ValidationError):
            _valid(MESSAGES[EVENTS[subject].__name__]["headers"], {k: v for k, v in headers.items() if k != name})


def test_every_reference_leads_somewhere() -> None:
    def follow(part: Any) -> None:
        for name, value in part.items() if isinstance(part, dict) else enumerate(part):
            if name == "$ref":
                found: Any = DOCUMENT
                for step in value.removeprefix("#/").split("/"):
                    found = found[step]
            elif isinstance(value, dict | list):
                follow(value)

    follow(DOCUMENT)
