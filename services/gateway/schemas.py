"""JSON Schema (2020-12) of what travels over HTTP: msgspec's own, with the glossary's words and examples."""

from collections.abc import Sequence
from typing import Any

import msgspec

from services.gateway.glossary import term
from services.gateway.views import ProblemDetails
from shared.contracts.commands import Confidence, ExplainedConfidence
from shared.features.change import CHANGE_FEATURES

REF = "#/components/schemas/"
Schema = dict[str, Any]

# What the types cannot say.
FEATURES: Schema = {
    "type": "object",
    "properties": {name: {"type": "number", "minimum": 0} for name in CHANGE_FEATURES},
    "required": list(CHANGE_FEATURES),
    "additionalProperties": False,
}
# A diff names its files itself.
ONE_CHANGE: Schema = {
    "oneOf": [
        {
            "required": ["diff"],
            "properties": {"diff": {"type": "string"}, "features": {"type": "null"}, "paths": {"maxItems": 0}},
        },
        {"required": ["features"], "properties": {"features": {"type": "object"}, "diff": {"type": "null"}}},
    ]
}
UNIFIED_DIFF = "unified-diff"
# What the items of a list may be, where a type would need a tag to say it.
EITHER = {("ConfidenceBatch", "items"): (Confidence, ExplainedConfidence, ProblemDetails)}


def ref(cls: Any) -> Schema:
    """Where the type's schema stands among the components; inline for what has no name."""
    [schema], _ = msgspec.json.schema_components([cls], ref_template=REF + "{name}")
    return dict(schema)


def components(requests: Sequence[Any], answers: Sequence[Any]) -> dict[str, Schema]:
    """Schemas by name, with descriptions and examples. A name is either sent or answered, never both."""
    sent = _described(requests)
    got = _described(answers)
    if both := sent.keys() & got.keys():
        raise ValueError(f"both sent and answered: {', '.join(sorted(both))}; make two types of it")
    for schema in got.values():
        _always_there(schema)
    found = sent | got
    for schema in found.values():
        if "properties" in schema:
            schema["examples"] = [example(schema, found)]
    return found


def _described(types: Sequence[Any]) -> dict[str, Schema]:
    _, found = msgspec.json.schema_components(types, ref_template=REF + "{name}")
    for schema in found.values():
        owner, properties = schema.get("title", ""), schema.get("properties", {})
        for name, value in properties.items():
            properties[name] = _property(owner, name, _pairs(value))
        if properties.keys() >= {"diff", "features"}:
            schema.update(ONE_CHANGE)
    return dict(sorted(found.items()))


def _pairs(schema: Schema) -> Schema:
    """Two of one kind, said as simply as that: not every generator of clients reads `prefixItems`."""
    if "prefixItems" in schema:
        items = schema["prefixItems"][0]
        return {name: value for name, value in schema.items() if name != "prefixItems"} | {"items": items}
    if "anyOf" in schema:
        return schema | {"anyOf": [_pairs(part) for part in schema["anyOf"]]}
    return schema


def _property(owner: str, name: str, schema: Schema) -> Schema:
    described: Schema = {"description": term(owner, name).meaning, **schema}
    if name == "features":
        described["anyOf"] = [FEATURES, {"type": "null"}]
    if (owner, name) in EITHER:
        described["items"] = {"anyOf": [ref(cls) for cls in EITHER[owner, name]]}
    if name == "diff":
        for part in described.get("anyOf", [described]):
            if part["type"] == "string":
                part["format"] = UNIFIED_DIFF
    return described


def _always_there(schema: Schema) -> None:
    """Answers leave nothing out but what has neither a value nor a default; defaults are a word about requests."""
    properties = schema.get("properties", {})
    required = {*schema.get("required", ()), *(name for name, value in properties.items() if "default" in value)}
    for value in properties.values():
        value.pop("default", None)
    if properties:
        schema["required"] = sorted(required)


def part_of(schema: Schema) -> Schema:
    """The same, cut down by `fields=`: only the id is always there."""
    return schema | {
        "title": f"{schema['title']}Part",
        "description": "Whole, or the fields that `fields` names.",
        "required": ["id"] if "id" in schema["properties"] else [],
    }


def example(schema: Schema, known: dict[str, Schema]) -> Any:
    """Of an object: each property's example from the glossary, or that of the type it refers to."""
    owner = schema.get("title", "")
    return {name: _value(owner, name, value, known) for name, value in schema["properties"].items()
            if name != "features"}  # fmt: skip


def _value(owner: str, name: str, schema: Schema, known: dict[str, Schema]) -> Any:
    if target := _target(schema):
        return example(known[target], known) if "properties" in known[target] else None
    if (item := schema.get("items")) and (target := _target(item)):
        return [example(known[target], known)]
    return term(owner, name).example


def _target(schema: Schema) -> str | None:
    """The component that it refers to, as such or as one of its alternatives."""
    for part in (schema, *schema.get("anyOf", ())):
        if "$ref" in part:
            return str(part["$ref"]).removeprefix(REF)
    return None
