"""Every answer that the API's description promises, as a cell of operation, status and code; and who has seen it."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from uuid import uuid4

import httpx

from services.gateway.submission import MAX_BODY_BYTES
from tests.conformance import NAMES, PROBLEM, document, resolved


class Cell(NamedTuple):
    """`code` is that of the problem, empty for what is none."""

    operation: str
    status: int
    code: str = ""


@dataclass(frozen=True)
class Operation:
    method: str
    template: str
    described: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.described["operationId"])

    @property
    def scope(self) -> str | None:
        """None for what needs no key."""
        return next((wanted["key"][0] for wanted in self.described["security"]), None)

    @property
    def body(self) -> Any:
        """The description's own example; None where there is no JSON to send."""
        content = self.described.get("requestBody", {}).get("content", {})
        shown = content.get("application/json")
        return None if shown is None else shown["examples"]["typical"]["value"]

    @property
    def parameters(self) -> list[dict[str, Any]]:
        return list(self.described["parameters"])

    def takes(self, name: str) -> bool:
        return any(parameter["name"] == name for parameter in self.parameters)

    def cells(self) -> Iterator[Cell]:
        for status, answer in self.described["responses"].items():
            content = resolved(answer, "")[0].get("content", {})
            told = content[PROBLEM]["schema"]["allOf"][1]["properties"]["code"]["enum"] if PROBLEM in content else [""]
            yield from (Cell(self.name, int(status), code) for code in told)

    def path(self, known: Mapping[str, Any]) -> str:
        """With what is not known replaced by what does not exist."""
        return re.sub(r"{(\w+)}", lambda found: str(known.get(found[1], self._nowhere(found[1]))), self.template)

    def _nowhere(self, name: str) -> Any:
        [schema] = [p["schema"] for p in self.parameters if (p["name"], p["in"]) == (name, "path")]
        return schema["maximum"] if schema["type"] == "integer" else uuid4()

    def broken(self) -> Iterator[dict[str, Any]]:
        """Requests that its schema forbids: a body, each of its parameters that can be wrong, and one that it lacks."""
        yield {"params": {"nonsense": 1}}
        if self.body is not None:
            yield {"json": {"nonsense": 1}}
        for parameter in self.parameters:
            value = wrong(parameter["schema"])
            if value is not None:
                place = {"query": "params", "header": "headers", "path": "known"}[parameter["in"]]
                sent = {} if self.body is None else {"json": self.body}
                yield sent | {place: {parameter["name"]: value}}


def wrong(schema: Mapping[str, Any]) -> str | None:
    """A text that the schema of a parameter forbids; None where any will do, or would lead nowhere."""
    if "maxLength" in schema:
        return "x" * (schema["maxLength"] + 1)
    if "minimum" in schema:
        return str(schema["minimum"] - 1)
    return "nonsense" if "enum" in schema or schema["type"] == "boolean" or schema.get("format") == "uuid" else None


TOO_LARGE = {"content": b"[" + b" " * MAX_BODY_BYTES, "headers": {"Content-Type": "application/json"}}
OTHER_TYPE = {"content": b"agent_id: claude", "headers": {"Content-Type": "text/plain"}}


def operations() -> list[Operation]:
    found = document()["paths"].items()
    return [Operation(method.upper(), path, said) for path, calls in found for method, said in calls.items()]


@dataclass
class Matrix:
    """`seen` fills with every answer that comes to one of the clients it watches."""

    seen: set[Cell] = field(default_factory=set)
    names: dict[str, str] = field(default_factory=lambda: {f"{o.method} {o.template}": o.name for o in operations()})

    async def record(self, response: httpx.Response) -> None:
        name = NAMES.of(response.request.method, response.request.url.path)
        if name is None:
            return
        problem = response.headers.get("content-type") == PROBLEM
        code = (await response.aread(), response.json()["code"])[1] if problem else ""
        self.seen.add(Cell(self.names[name], response.status_code, code))

    def watch(self, client: httpx.AsyncClient) -> None:
        client.event_hooks = client.event_hooks | {"response": [*client.event_hooks["response"], self.record]}
