"""From a request's method and path to its route's name, before routing: limits and shedding come first.

A name is `METHOD /path/{parameter}`, as in the API's description.
"""

import re
from collections.abc import Iterable
from typing import Any

PARAMETER = re.compile(r"{(\w+)(?::\w+)?}")
SLASHES = re.compile(r"//+")


def names_of(handlers: Iterable[Any]) -> list[str]:
    """The names of Litestar's route handlers."""
    templates = [(method, path) for h in handlers for path in h.paths for method in sorted(h.http_methods)]
    return [f"{method} {PARAMETER.sub(_bare, path)}" for method, path in templates]


def _bare(parameter: re.Match[str]) -> str:
    return f"{{{parameter[1]}}}"


class RouteNames:
    """Finds the name as the router finds the route: a path as it stands before one with parameters."""

    def __init__(self, names: Iterable[str]) -> None:
        self._methods = sorted({name.partition(" ")[0] for name in names})
        self._plain = {name for name in names if "{" not in name}
        templates = sorted(name for name in names if "{" in name)
        self._templates = dict(enumerate(templates, 1))
        self._pattern = re.compile("|".join(f"({_matching(name)})" for name in templates) or "(?!)")

    def of(self, method: str, path: str) -> str | None:
        """None for what no route serves."""
        name = f"{method} {path}"
        if name in self._plain:
            return name
        found = self._pattern.fullmatch(name)
        if found is not None:
            return self._templates[found.lastindex or 0]
        clean = SLASHES.sub("/", f"/{path.strip('/')}")
        return None if clean == path else self.of(method, clean)

    def methods(self, path: str) -> list[str]:
        """What may be done there; empty for what no route serves."""
        here = [method for method in self._methods if f"{method} {path}" in self._plain]
        return here or [method for method in self._methods if self.of(method, path)]


def _matching(name: str) -> str:
    return "[^/]+".join(re.escape(part) for part in re.split(r"{\w+}", name))
