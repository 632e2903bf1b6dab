"""The code as the rules see it: files, strings and imports."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOMS = ("cli", "deploy", "services", "shared")
SERVICES = ("gateway", "patterns", "scoring", "trainer")


def files(*rooms: str) -> list[str]:
    """Every Python file below the rooms, relative to the root."""
    paths = (path for room in rooms for path in (ROOT / room).rglob("*.py"))
    return sorted(str(path.relative_to(ROOT)) for path in paths if "node_modules" not in path.parts)


@cache
def tree(file: str) -> ast.Module:
    return ast.parse((ROOT / file).read_text(), file)


def strings(file: str) -> Iterator[str]:
    """Every text in the code, without docstrings."""
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            node.value = ast.Constant(None)
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def imports(file: str) -> Iterator[str]:
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def names_used(file: str) -> set[str]:
    """Every name and attribute that the code mentions."""
    nodes = list(ast.walk(tree(file)))
    return {n.attr for n in nodes if isinstance(n, ast.Attribute)} | {n.id for n in nodes if isinstance(n, ast.Name)}
