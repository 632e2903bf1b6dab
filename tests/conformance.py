"""Every answer that a test of the gateway sees is held against the description that the gateway serves."""

import json
import re
from functools import cache
from typing import Any

import httpx
import jsonschema_rs

from services.gateway.app import ROUTES
from services.gateway.descriptions import Descriptions
from services.gateway.openapi import OF_THE_WIRE
from services.gateway.route_names import RouteNames, names_of

PROBLEM = "application/problem+json"
NAMES = RouteNames(names_of(ROUTES))


@cache
def document() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Descriptions(ROUTES).openapi)
    return found


@cache
def validator(pointer: str) -> Any:
    """Of the schema at a place of the document."""
    whole = {"$ref": f"#/{pointer}"} | document()
    return jsonschema_rs.validator_for(whole, validate_formats=True)


def resolved(part: dict[str, Any], place: str) -> tuple[dict[str, Any], str]:
    """What stands at `place`, or where the reference there leads, and that place."""
    if "$ref" not in part:
        return part, place
    pointer: str = part["$ref"].removeprefix("#/")
    found = document()
    for step in pointer.split("/"):
        found = found[step]
    return found, pointer


async def check(response: httpx.Response) -> None:
    """Raises `AssertionError` for a status, a media type, a header or a body that is not described."""
    name = NAMES.of(response.request.method, response.request.url.path)
    media_type = response.headers.get("content-type", "")
    if response.status_code in OF_THE_WIRE:
        assert media_type == PROBLEM
        return
    if (response.request.method, response.status_code) in (("OPTIONS", 204), ("HEAD", 200)):
        return
    if response.request.url.path == "/" and response.status_code == 307:  # no part of the API
        return
    if name is None:
        assert response.status_code in (401, 404, 405, 429, 503), response.status_code
        assert media_type == PROBLEM, media_type
        return
    method, path = name.split(" ")
    said = f"{name} -> {response.status_code}"
    answers = document()["paths"][path][method.lower()]["responses"]
    status = str(response.status_code)
    assert status in answers, f"{said} is not described: see services/gateway/answers.py"
    answer, place = resolved(answers[status], f"paths/{_escaped(path)}/{method.lower()}/responses/{status}")
    for header, described in answer.get("headers", {}).items():
        needed = resolved(described, "")[0]["required"]
        assert header in response.headers or not needed, f"{said}: the header {header} is missing"
    if not answer.get("content"):
        return
    assert media_type in answer["content"], f"{said}: {media_type} is not described"
    if media_type in ("application/json", PROBLEM):
        await response.aread()
        body = validator(f"{place}/content/{_escaped(media_type)}/schema")
        problem = next(body.iter_errors(response.json()), None)
        assert problem is None, f"{said}: {problem}"


def _escaped(step: str) -> str:
    return re.sub("[~/]", lambda found: {"~": "~0", "/": "~1"}[found[0]], step).replace("{", "%7B").replace("}", "%7D")
