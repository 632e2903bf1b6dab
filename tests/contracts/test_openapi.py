"""The API's description: complete, checked in, and true to itself. That answers keep it is checked at every request."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from services.gateway.answers import OPERATIONS, TAGS
from services.gateway.app import ROUTES
from services.gateway.descriptions import Descriptions
from services.gateway.edge import OPEN
from services.gateway.route_names import names_of
from shared.keys import SCOPES

DOCS = Path(__file__).parents[2] / "docs"
FILES = Descriptions(ROUTES).files()
DOCUMENT: dict[str, Any] = json.loads(FILES["openapi.json"])
COMPONENTS = DOCUMENT["components"]
CALLS = {(m, path): found for path, methods in DOCUMENT["paths"].items() for m, found in methods.items()}
every_call = pytest.mark.parametrize("call", sorted(CALLS), ids=lambda call: f"{call[0].upper()} {call[1]}")

# The public list: a call that vanishes breaks a client.
PROMISED = """
POST /v1/fixes · POST /v1/fixes/bulk · GET /v1/fixes · GET /v1/fixes/{fix_id} · PATCH /v1/fixes/{fix_id}
POST /v1/fixes/{fix_id}/outcome · POST /v1/outcomes · POST /v1/confidence · POST /v1/confidence/batch
POST /v1/patterns/analyze · GET /v1/patterns · GET /v1/patterns/{pattern_id}
GET /v1/learnings · POST /v1/learnings · GET /v1/learnings/{learning_id}
GET /v1/models · GET /v1/models/{version} · GET /v1/models/{version}/promotions · POST /v1/models/retrain
POST /v1/models/{version}/promote · GET /v1/training-runs/{run_id} · GET /v1/flags · PUT /v1/flags/{name}
GET /healthz · GET /readyz · GET /metrics · GET /openapi.json · GET /asyncapi.json · GET /docs
"""


@pytest.mark.parametrize("name", sorted(FILES))
def test_what_is_checked_in_is_what_the_gateway_says(name: str) -> None:
    assert (DOCS / name).read_bytes() == FILES[name], "run `make contract-files`"


def test_every_route_is_described_and_nothing_else() -> None:
    assert {f"{method.upper()} {path}" for method, path in CALLS} == set(names_of(ROUTES))
    assert set(OPERATIONS) == {call["operationId"] for call in CALLS.values()}


def test_every_promised_call_is_there() -> None:
    assert set(re.split(r" · |\n", PROMISED.strip())) <= set(names_of(ROUTES))


def test_every_operation_has_a_name_of_its_own() -> None:
    names = [call["operationId"] for call in CALLS.values()]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch("[a-z][a-z_]+", name) for name in names)


@every_call
def test_an_operation_says_who_may_call_it(call: tuple[str, str]) -> None:
    described = CALLS[call]
    if call[1] in OPEN:
        assert described["security"] == []
        return
    [wanted] = described["security"]
    assert set(wanted["key"]) <= set(SCOPES)
    assert len(wanted["key"]) == 1
    assert {"401", "403", "429", "503"} <= set(described["responses"])


@every_call
def test_an_operation_is_explained(call: tuple[str, str]) -> None:
    described = CALLS[call]
    assert described["summary"]
    assert set(described["tags"]) <= set(TAGS)
    for parameter in described["parameters"]:
        assert parameter["description"], parameter["name"]
        assert _bounded(parameter["schema"]), f"{parameter['name']}: how long or how large may it be?"


def _bounded(schema: dict[str, Any]) -> bool:
    if schema.get("type") == "string":
        return "format" in schema or "maxLength" in schema
    if schema.get("type") in ("integer", "number"):
        return {"minimum", "maximum"} <= set(schema)
    return schema.get("type") == "boolean" or "enum" in schema


@pytest.mark.parametrize("name", sorted(COMPONENTS["schemas"]))
def test_the_example_of_a_schema_is_valid_and_each_of_its_fields_explained(name: str) -> None:
    schema = COMPONENTS["schemas"][name]
    check = jsonschema_rs.validator_for(
        {"$ref": f"#/components/schemas/{name}", "components": COMPONENTS}, validate_formats=True
    )
    for shown in schema["examples"]:
        check.validate(shown)
    for field, described in schema["properties"].items():
        assert described["description"], field


def test_what_is_sent_is_closed_and_what_is_answered_is_open() -> None:
    """A typo of a caller must not pass for a default; a new field of ours must not break a client."""
    for name, schema in COMPONENTS["schemas"].items():
        sent = name.endswith(("Body", "Patch")) or name == "BulkLine"
        assert schema.get("additionalProperties") is (False if sent else None), name


def test_every_reference_leads_somewhere() -> None:
    for reference in re.findall(r'"\$ref": "#/([^"]+)"', FILES["openapi.json"].decode()):
        found = DOCUMENT
        for part in reference.split("/"):
            found = found[part]
        assert found


@every_call
def test_the_page_shows_every_operation_and_loads_nothing(call: tuple[str, str]) -> None:
    page = Descriptions(ROUTES).page.decode() if call == ("get", "/docs") else PAGE
    assert f'<details id="{CALLS[call]["operationId"]}">' in page
    assert "<script" not in page
    assert "http" not in page.replace("https", "http").split("</style>")[1].replace("HTTP", "")


PAGE = Descriptions(ROUTES).page.decode()
