"""Problem codes: what the source can answer is what the table promises."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.gateway.codes import CODES
from services.gateway.problems import BY_STATUS

ROOT = Path(__file__).parents[2]
# The calls that make a problem, and where each of them takes its status and its code.
MAKERS = {"ApiError": (0, 1), "refuse": (0, 1), "Problem": ("status", "code"), "invalid": (None, "code")}


def problems() -> Iterator[tuple[str, int | None, str]]:
    """(place, status, code) of every problem that the source makes with constants."""
    for path in sorted((ROOT / "services").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in MAKERS:
                status, code = (_constant(node, place) for place in MAKERS[node.func.id])
                if isinstance(code, str):
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", status, code


def _constant(call: ast.Call, place: int | str | None) -> object:
    found: ast.expr | None = None
    if isinstance(place, int):
        found = call.args[place] if len(call.args) > place else None
    else:
        found = next((k.value for k in call.keywords if k.arg == place), None)
    return found.value if isinstance(found, ast.Constant) else None


@pytest.mark.parametrize(("place", "status", "code"), [pytest.param(*p, id=f"{p[0]}-{p[2]}") for p in problems()])
def test_every_problem_that_is_made_stands_in_the_table_with_its_status(
    place: str, status: int | None, code: str
) -> None:
    assert code in CODES, f"{place}: add {code!r} to services/gateway/codes.py"
    assert status in (None, CODES[code].status)


def test_no_code_is_promised_that_nothing_answers() -> None:
    made = {code for _, _, code in problems()} | set(BY_STATUS.values())
    # `runtime.ask` names the service that is missing; `invalid` has a default.
    made |= {"scoring_unavailable", "patterns_unavailable", "invalid_request"}
    assert set(CODES) == made


def test_what_the_framework_refuses_has_the_status_of_its_code() -> None:
    assert {status: CODES[code].status for status, code in BY_STATUS.items()} == {s: s for s in BY_STATUS}


def test_whoever_is_told_to_try_again_is_told_when() -> None:
    assert all(code.retry_after for code in CODES.values() if code.status == 503)
