"""The API as one page of HTML: no script and nothing from elsewhere, so it works where the internet is not."""

import json
from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

from services.gateway.codes import CODES

STYLE = """
:root{color-scheme:light dark;--line:#8884;--soft:#8881;--accent:#2563eb}
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
h2{margin-top:2.5rem;border-bottom:1px solid var(--line)} nav a{margin-right:1rem} a{color:var(--accent)}
details{border:1px solid var(--line);border-radius:6px;margin:.5rem 0} details>:not(summary){margin:.75rem 1rem}
summary{cursor:pointer;padding:.5rem 1rem;display:flex;gap:.75rem;flex-wrap:wrap;align-items:baseline}
code,pre{font:.875rem ui-monospace,monospace} pre{background:var(--soft);padding:.75rem;overflow-x:auto}
summary code b{display:inline-block;min-width:3.5rem} .scope{margin-left:auto;opacity:.7;font-size:.85rem}
table{border-collapse:collapse} td,th{border-bottom:1px solid var(--line);padding:.3rem .75rem .3rem 0;text-align:left;
vertical-align:top}
"""


def page(document: dict[str, Any]) -> str:
    info = document["info"]
    tags = document["tags"]
    links = "".join(f'<a href="#{tag["name"]}">{tag["name"]}</a>' for tag in tags)
    sections = "".join(_section(tag, document) for tag in tags)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{info["title"]} API</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style>'
        f"<h1>{info['title']} API <small>{info['version']}</small></h1><p>{_text(info['description'])}</p>"
        "<p>Send your key as <code>Authorization: Bearer pk_…</code>. For client generators: "
        '<a href="/openapi.json">openapi.json</a>; the messages behind it: <a href="/asyncapi.json">asyncapi.json</a>.'
        f'<nav>{links}<a href="#problems">problems</a></nav>{sections}{_problems()}</html>'
    )


def _section(tag: dict[str, str], document: dict[str, Any]) -> str:
    operations = "".join(
        _operation(method, path, operation, document["components"])
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if tag["name"] in operation["tags"]
    )
    return f'<h2 id="{tag["name"]}">{tag["name"].capitalize()}</h2><p>{_text(tag["description"])}</p>{operations}'


def _operation(method: str, path: str, operation: dict[str, Any], components: dict[str, Any]) -> str:
    scope = operation["security"][0]["key"][0] if operation["security"] else "no key"
    return (
        f'<details id="{operation["operationId"]}"><summary><code><b>{method.upper()}</b> {escape(path)}</code>'
        f'{_text(operation["summary"])}<span class="scope">{scope}</span></summary>'
        f"<p>{_text(operation['description'])}</p>{_parameters(operation)}{_body(operation, components['schemas'])}"
        f"{_answers(operation, components)}</details>"
    )


def _parameters(operation: dict[str, Any]) -> str:
    rows = [(f"<code>{p['name']}</code>", p["in"], _text(p["description"])) for p in operation["parameters"]]
    return _table(("parameter", "in", "meaning"), rows) if rows else ""


def _body(operation: dict[str, Any], schemas: dict[str, Any]) -> str:
    if "requestBody" not in operation:
        return ""
    [(media_type, content)] = operation["requestBody"]["content"].items()
    return f"<h4>Body: {media_type}</h4>{_schema(content['schema'], schemas)}"


def _answers(operation: dict[str, Any], components: dict[str, Any]) -> str:
    rows = [(status, _answer(answer, components)) for status, answer in operation["responses"].items()]
    return "<h4>Answers</h4>" + _table(("status", "body"), rows)


def _answer(answer: dict[str, Any], components: dict[str, Any]) -> str:
    """A problem by its codes, anything else by its example."""
    if "$ref" in answer:
        codes = components["responses"][_last(answer["$ref"])]["content"]["application/problem+json"]["examples"]
        return ", ".join(f'<a href="#problem-{code}"><code>{code}</code></a>' for code in codes)
    bodies = [_schema(content["schema"], components["schemas"]) for content in answer["content"].values()]
    return _text(answer["description"]) + "".join(bodies)


def _last(reference: str) -> str:
    return reference.rsplit("/", 1)[1]


def _schema(schema: dict[str, Any], schemas: dict[str, Any]) -> str:
    """An example says more than a schema, and openapi.json has the schema."""
    names = list(_names(schema))
    return "".join(f"<pre>{escape(json.dumps(schemas[n]['examples'][0], indent=1))}</pre>" for n in names
                   if "examples" in schemas[n])  # fmt: skip


def _names(schema: dict[str, Any]) -> Iterator[str]:
    for part in (schema, schema.get("contentSchema", {}), *schema.get("anyOf", ())):
        if "$ref" in part:
            yield _last(part["$ref"])


def _problems() -> str:
    rows = [
        (f'<code id="problem-{name}">{name}</code>', str(code.status), f"{_text(code.title)}. {_text(code.remedy)}")
        for name, code in CODES.items()
    ]
    return f'<h2 id="problems">Problems</h2>{_table(("code", "status", "means"), rows)}'


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = ["".join(f"<td>{cell}</td>" for cell in row) for row in rows]
    return f"<table><tr>{''.join(f'<th>{h}</th>' for h in head)}</tr><tr>{'</tr><tr>'.join(lines)}</tr></table>"


def _text(text: str) -> str:
    """Escaped, with the code spans of our own docstrings."""
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if i % 2 else part for i, part in enumerate(parts))
