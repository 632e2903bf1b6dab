"""Categories against real servers: from what was declared and corrected to a promoted model that answers."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from tests.handlers.test_trainer import PROMOTE, ask, listen, runs
from tests.world import World, eventually

START = datetime(2024, 1, 1, tzinfo=UTC)
# In this deployment's language a change of `gauge` is a performance change, whatever it looks like elsewhere.
WORDS = {"perf": "gauge", "fix": "notice"}


def diff(word: str, number: int) -> str:
    return (
        f"diff --git a/src/m{number}.py b/src/m{number}.py\n--- a/src/m{number}.py\n+++ b/src/m{number}.py\n"
        f"@@ -1 +1 @@\n-{word}_{number} = old({number})\n+{word}_{number} = {word}(new_{number})\n"
    )


async def declare(
    world: World, count: int, declared: Callable[[int], str], *, principal: str = "agent", imported: bool = True
) -> list[UUID]:
    """Fixes with a diff; every other one has a title."""
    ids = [uuid4() for _ in range(count)]
    await world.owner.executemany(
        "insert into scoring.agent_auto_fixes (id, principal, agent_id, repository, submitted_at, scored_at, "
        "confidence, status, title, fix_type, diff, imported) "
        "values ($1, $2, 'a', 'r', $3, $3, 0.5, 'scored', $4, $5, $6, $7)",
        [
            (i, principal, START + timedelta(hours=n), f"change number {n}" if n % 2 else None, declared(n),
             diff(WORDS.get(declared(n), "plain"), n), imported)
            for n, i in enumerate(ids)
        ],
    )  # fmt: skip
    return ids


def halves(number: int) -> str:
    return "perf" if number % 4 < 2 else "fix"


async def categories(world: World) -> list[tuple[str, str]]:
    rows = await world.owner.fetch("select version, status from trainer.models where kind = 'category' order by number")
    return [tuple(row) for row in rows]


async def test_what_was_declared_becomes_a_model_that_patterns_answers_with(world: World) -> None:
    await declare(world, 400, halves)
    await world.start("trainer", "patterns")
    api = await world.gateway()
    asked = {"diff": diff("gauge", 1000)}
    before = (await api.post("/v1/patterns/analyze", asked)).json()
    heard = await listen(world)
    await ask(world, kind="category")
    (run,) = await runs(world)
    assert (run["status"], run["model_version"]) == ("succeeded", "category-1"), run
    assert await categories(world) == [("category-0", "retired"), ("category-1", "champion")]

    async def answered() -> dict[str, Any] | None:
        body: dict[str, Any] = (await api.post("/v1/patterns/analyze", asked)).json()
        return body if body["model_version"] == "category-1" else None

    after = await eventually(answered)
    assert after["categories"]["performance"] > before["categories"]["performance"] + 0.2
    stages = [body["stage"] for subject, body in heard if subject == "models.training_progressed.v1"]
    assert stages == ["loading", "fitting", "evaluating", "registering"]
    metrics = json.loads(await world.owner.fetchval("select metrics from trainer.models where version = 'category-1'"))
    assert metrics["gain"]["low"] > 0
    assert metrics["champion"]["version"] == "the model that ships"


async def test_the_model_that_ships_can_be_put_back(world: World) -> None:
    await declare(world, 400, halves)
    await world.start("trainer", "patterns")
    await ask(world, kind="category")
    await runs(world)
    await ask(world, PROMOTE, version="category-0", request_id=str(uuid4()), requested_by="ana")

    async def back() -> bool:
        return await categories(world) == [("category-0", "champion"), ("category-1", "retired")]

    await eventually(back)


async def test_a_correction_counts_for_what_was_declared_and_a_prediction_for_nothing(world: World) -> None:
    """All are declared performance; what reporters corrected is all that tells them apart."""
    ids = await declare(world, 300, lambda _: "perf")
    silent = await declare(world, 200, lambda _: "chore")
    await world.owner.executemany(
        "insert into patterns.fix_patterns (fix_id, agent_id, repository, submitted_at, category, corrected_category, "
        "corrected_by) values ($1, 'a', 'r', now(), 'refactor', $2, 'ana')",
        [*((i, "bug-fix") for i in ids[::2]), *((i, None) for i in silent)],
    )
    await world.start("trainer")
    await ask(world, kind="category")
    (run,) = await runs(world)
    assert run["status"] == "succeeded", run
    lineage = json.loads(await world.owner.fetchval("select lineage from trainer.models where version = 'category-1'"))
    assert lineage["categories"] == {"bug-fix": 150, "performance": 150, "refactor": 0, "security": 0}


async def test_a_second_model_of_the_same_changes_is_not_better_and_says_so(world: World) -> None:
    await declare(world, 400, halves)
    await world.start("trainer")
    await ask(world, kind="category")
    await runs(world)
    await ask(world, kind="category")
    second = (await runs(world, 2))[1]
    assert "not surely better than the champion" in second["reason"]
    assert (await categories(world))[1:] == [("category-1", "champion"), ("category-2", "rejected")]


async def test_one_kind_alone_teaches_nothing(world: World) -> None:
    await declare(world, 300, lambda _: "perf")
    await world.start("trainer")
    await ask(world, kind="category")
    (run,) = await runs(world)
    assert run["status"] == "failed"
    assert "0 changes of the second most frequent category" in run["reason"]
