"""Who answers about a diff reads it; what is said of one that cannot be read is the same everywhere."""

import pytest

from tests.diffs import fix
from tests.world import World

SAID = "no diff found: send the output of `git diff` or `diff -u`, file headers included"


@pytest.mark.parametrize("how", ["at once", "by the route"])
async def test_it_is_said_in_the_same_words(world: World, how: str) -> None:
    await world.start("scoring", "patterns")
    api = await world.gateway()
    # Of a media type with parameters the short way knows nothing.
    headers = {} if how == "at once" else {"Content-Type": "application/json; charset=utf-8"}
    asked = {"agent_id": "claude", "repository": "acme/shop", "diff": "no diff"}
    bodies = {"/v1/fixes": fix(diff="no diff"), "/v1/confidence": asked, "/v1/patterns/analyze": {"diff": "no diff"}}
    for path, body in bodies.items():
        answer = await api.post(path, body, headers=headers)
        told = answer.json()
        assert (answer.status_code, told["code"], told["detail"]) == (400, "invalid_diff", SAID), path
        assert [error["field"] for error in told["errors"]] == ["diff"], path
