"""The AsyncAPI 3 description of the bus, made from `shared/contracts` and `shared/topology`."""

from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from shared.contracts import commands, fixes, knowledge, models
from shared.contracts.envelope import Event
from shared.topology import STREAMS, WORK

SCHEMAS = "#/components/schemas/"
Schema = dict[str, Any]

EVENTS: dict[str, type[Event]] = {
    cls.SUBJECT: cls
    for module in (fixes, knowledge, models)
    for cls in vars(module).values()
    if isinstance(cls, type) and issubclass(cls, Event) and cls is not Event
}

# Who publishes an event, and every replica of whom hears it; whoever works on it stands in the topology.
SENT: dict[str, tuple[str, ...]] = {
    "fixes.submitted.v1": ("gateway",),
    "fixes.imported.v1": ("gateway",),
    "fixes.scored.v1": ("scoring",),
    "fixes.categorized.v1": ("patterns",),
    "fixes.outcome_reported.v1": ("gateway",),
    "fixes.outcome_recorded.v1": ("scoring",),
    "learnings.changed.v1": ("patterns",),
    "collaborations.changed.v1": ("patterns",),
    "patterns.detected.v1": ("patterns",),
    "models.retrain_requested.v1": ("gateway", "scoring"),
    "models.promotion_requested.v1": ("gateway",),
    "models.training_progressed.v1": ("trainer",),
    "models.trained.v1": ("trainer",),
    "models.promoted.v1": ("trainer",),
}
HEARD: dict[str, tuple[str, ...]] = {
    "fixes.scored.v1": ("gateway",),
    "fixes.categorized.v1": ("gateway",),
    "models.promoted.v1": ("gateway", "patterns", "scoring"),
}


class Command(NamedTuple):
    """A request over core NATS: what is asked, and what `Reply.value` holds."""

    asks: Any
    value: Any


COMMANDS: dict[str, Command] = {
    commands.CONFIDENCE: Command(list[commands.Candidate], commands.Confidence),
    commands.THRESHOLDS_SET: Command(commands.ThresholdsSet, commands.ThresholdsSet),
    commands.ANALYZE: Command(commands.ToAnalyze, commands.Analysis),
    commands.CORRECT: Command(commands.Correction, UUID),
    commands.LEARNING_CREATE: Command(commands.LearningCreate, UUID),
    commands.LEARNING_UPDATE: Command(commands.LearningUpdate, UUID),
    commands.LEARNING_DELETE: Command(commands.LearningDelete, UUID),
    commands.LEARNING_RELEASE: Command(commands.LearningRelease, UUID),
    commands.PATTERN_RELATED: Command(commands.PatternRelatedTo, commands.NearPattern),
    commands.COLLABORATION_OPEN: Command(commands.CollaborationOpen, UUID),
    commands.COLLABORATION_JOIN: Command(commands.CollaborationJoin, UUID),
    commands.COLLABORATION_UPDATE: Command(commands.CollaborationUpdate, UUID),
    commands.COLLABORATION_PROPOSE: Command(commands.SolutionPropose, UUID),
    commands.COLLABORATION_VOTE: Command(commands.SolutionVote, UUID),
}

INFO = {
    "title": "Precedent: the bus",
    "version": "0.1.0",
    "description": "What the services tell each other over NATS. Events are CloudEvents 1.0 in binary mode, kept by "
    "JetStream, additive only; commands are requests over core NATS that one replica answers.",
}


def document() -> dict[str, Any]:
    channels = {subject: _event_channel(subject) for subject in EVENTS}
    operations = [operation for subject in EVENTS for operation in _event_operations(subject)]
    for subject in COMMANDS:
        channels |= {subject: _command_channel(subject), f"{subject}.reply": _reply_channel(subject)}
        operations += _command_operations(subject)
    return {
        "asyncapi": "3.0.0",
        "info": INFO,
        "defaultContentType": "application/json",
        "servers": {"nats": {"host": "localhost:4222", "protocol": "nats", "description": "The deployment's own."}},
        "channels": dict(sorted(channels.items())),
        "operations": dict(sorted(operations)),
        "components": {"messages": _messages(), "schemas": _schemas()},
    }


def _event_channel(subject: str) -> dict[str, Any]:
    stream = next(s for s in STREAMS if any(subject.startswith(kept.removesuffix(">")) for kept in s.subjects))
    name = EVENTS[subject].__name__
    return {
        "address": subject,
        "messages": {name: _message_ref(name)},
        "x-jetstream": {"stream": stream.name, "days": stream.days},
    }


def _event_operations(subject: str) -> list[tuple[str, Any]]:
    found = [_operation(service, "send", subject) for service in SENT[subject]]
    found += [_operation(service, "receive", subject, durable=None) for service in HEARD.get(subject, ())]
    found += [_operation(w.service, "receive", subject, durable=w.durable) for w in WORK if w.subject == subject]
    return found


def _operation(service: str, action: str, subject: str, durable: str | None = None) -> tuple[str, dict[str, Any]]:
    said = {"action": action, "channel": _channel_ref(subject), "tags": [{"name": service}]}
    if action == "send":
        return f"{service}.send.{subject}", said
    summary = "One replica works on it." if durable else "Every replica hears it."
    extra = {"x-jetstream": {"durable": durable}} if durable else {}
    return f"{service}.{'work' if durable else 'hear'}.{subject}", said | {"summary": summary} | extra


def _command_channel(subject: str) -> dict[str, Any]:
    return {"address": subject, "messages": {"request": _message_ref(subject)}}


def _reply_channel(subject: str) -> dict[str, Any]:
    """NATS gives every request an address of its own to answer to."""
    return {"address": None, "messages": {"reply": _message_ref(f"{subject}.reply")}}


def _command_operations(subject: str) -> list[tuple[str, Any]]:
    reply = {"channel": _channel_ref(f"{subject}.reply")}
    service = subject.split(".")[0]
    asks = {"action": "send", "channel": _channel_ref(subject), "tags": [{"name": "gateway"}], "reply": reply}
    answers = {"action": "receive", "channel": _channel_ref(subject), "tags": [{"name": service}], "reply": reply}
    return [(f"gateway.ask.{subject}", asks), (f"{service}.answer.{subject}", answers)]


def _messages() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for subject, cls in EVENTS.items():
        found[cls.__name__] = {"name": subject, "headers": _headers(subject), "payload": _ref(cls)}
    for subject, command in COMMANDS.items():
        found[subject] = {"name": subject, "payload": _ref(command.asks)}
        found[f"{subject}.reply"] = {"name": f"{subject}.reply", "payload": _reply(subject, command.value)}
    return dict(sorted(found.items()))


def _reply(subject: str, value: Any) -> Schema:
    """Exactly one of `value` and `problem` says something."""
    properties = {"value": {"anyOf": [_ref(value), {"type": "null"}]},
                  "problem": {"anyOf": [_ref(commands.Problem), {"type": "null"}]}}  # fmt: skip
    reply = {"type": "object", "properties": properties, "required": ["value", "problem"]}
    return {"type": "array", "items": reply} if subject == commands.CONFIDENCE else reply


def _headers(subject: str) -> Schema:
    """The attributes of a CloudEvent, as `shared/contracts/envelope.py` seals them."""
    uuid, text = {"type": "string", "format": "uuid"}, {"type": "string"}
    properties: dict[str, Schema] = {
        "ce-specversion": {"const": "1.0"},
        "ce-id": uuid | {"description": "The same cause has the same id, however often it is published."},
        "Nats-Msg-Id": uuid | {"description": "The same as `ce-id`."},
        "ce-type": {"const": subject},
        "ce-source": {"enum": [f"/services/{service}" for service in SENT[subject]]},
        "ce-subject": text | {"description": "The entity that the event speaks of."},
        "ce-time": {"type": "string", "format": "date-time"},
        "content-type": {"const": "application/json"},
    }
    trace = {"traceparent": text | {"description": "W3C Trace Context of the cause."}}
    return {"type": "object", "properties": properties | trace, "required": [*properties]}


def _schemas() -> dict[str, Schema]:
    asked = [part for command in COMMANDS.values() for part in command]
    _, found = msgspec.json.schema_components([*EVENTS.values(), commands.Problem, *asked], ref_template=_TEMPLATE)
    return dict(sorted(found.items()))


_TEMPLATE = SCHEMAS + "{name}"


def _ref(cls: Any) -> Schema:
    [schema], _ = msgspec.json.schema_components([cls], ref_template=_TEMPLATE)
    return dict(schema)


def _message_ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/messages/{name}"}


def _channel_ref(subject: str) -> dict[str, str]:
    return {"$ref": f"#/channels/{subject}"}
