"""What is read the short way is the same question as what the route reads, or none at all."""

from typing import Any
from uuid import uuid4

import msgspec
import pytest

from services.gateway import at_once
from services.gateway.bodies import ConfidenceBody
from services.gateway.keys import Principal
from services.gateway.predictions import question_of
from services.gateway.submission import candidate, check_change
from shared.features.change import CHANGE_FEATURES

PRINCIPAL = Principal(uuid4(), "owner", frozenset({"read"}), ("*",))
FEATURES: dict[str, Any] = {name: number / 3 for number, name in enumerate(CHANGE_FEATURES)}
BODY: dict[str, Any] = {"agent_id": "claude", "repository": "acme/shop"}


@pytest.mark.parametrize(
    "more",
    [
        {"features": FEATURES},
        {"features": dict(sorted(FEATURES.items(), reverse=True)) | {"la": 7}, "paths": ["src/a.py"], "author": "ann"},
        {"diff": "--- a\n", "signals": {"tests_passed": True}, "fix_type": "fix", "title": "of no account"},
        {},
    ],
    ids=["features", "in another order", "a diff", "neither"],
)
def test_it_is_the_same_question(more: dict[str, Any]) -> None:
    data = msgspec.json.encode(BODY | more)
    short, long = at_once._decode(data), msgspec.json.decode(data, type=ConfidenceBody)
    asked = [question_of(candidate(PRINCIPAL, body, explain=True)) for body in (short, long)]
    assert asked[0] == asked[1]


@pytest.mark.parametrize(
    "wrong",
    [
        FEATURES | {"la": -1},
        FEATURES | {"la": "7"},
        FEATURES | {"lines": 7},
        {name: value for name, value in FEATURES.items() if name != "la"},
    ],
    ids=["negative", "a text", "unknown", "missing"],
)
def test_what_the_route_refuses_is_not_read(wrong: dict[str, Any]) -> None:
    data = msgspec.json.encode(BODY | {"features": wrong})
    with pytest.raises(msgspec.ValidationError):
        at_once._decode(data)
    with pytest.raises(Exception, match="features"):
        check_change(msgspec.json.decode(data, type=ConfidenceBody))


def test_a_number_beyond_all_is_not_read() -> None:
    data = msgspec.json.encode(BODY | {"features": FEATURES}).replace(b'"la":0.0', b'"la":1e999')
    with pytest.raises(msgspec.MsgspecError):
        at_once._decode(data)
