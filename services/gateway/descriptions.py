"""The descriptions that the gateway serves, and `docs/` holds. Each is made when somebody first asks for it."""

import json
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from litestar.handlers import HTTPRouteHandler

from services.gateway.asyncapi import document as asyncapi_document
from services.gateway.codes import markdown
from services.gateway.docs_page import page
from services.gateway.openapi import document as openapi_document


class Descriptions:
    def __init__(self, handlers: Sequence[HTTPRouteHandler]) -> None:
        self._handlers = handlers

    @cached_property
    def openapi(self) -> bytes:
        return _encoded(openapi_document(self._handlers))

    @cached_property
    def asyncapi(self) -> bytes:
        return _encoded(asyncapi_document())

    @cached_property
    def page(self) -> bytes:
        return page(openapi_document(self._handlers)).encode()

    def files(self) -> dict[str, bytes]:
        """What is checked in, by name."""
        return {"openapi.json": self.openapi, "asyncapi.json": self.asyncapi, "problems.md": markdown().encode()}


def _encoded(document: dict[str, Any]) -> bytes:
    return json.dumps(document, indent=1, ensure_ascii=False).encode() + b"\n"
