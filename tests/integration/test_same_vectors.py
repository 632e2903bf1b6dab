"""The same change gives the same vector when it is scored and when it is trained on, and never one of the future."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.trainer.replay import Ledger
from shared.diffs import parse
from shared.features.change import change_features
from shared.features.fix_type import mends
from shared.features.history import history_of, keys_of, touched_paths
from shared.features.size import expected_failure
from shared.features.vector import vector
from tests.diffs import diff, fix
from tests.world import World, eventually

START = datetime(2024, 1, 1, 9, 30, tzinfo=UTC)
STORED = "select features from scoring.agent_auto_fixes where scored_at is not null order by submitted_at"
PATHS = ("src/api/a.py", "src/api/b.ts", "lib/c.go", "README.md")
# Days between the changes: some of a day, some of one import's group, some longer ago than 90 days.
GAPS = (0, 0.2, 0.01, 3, 40, 0, 60, 1, 45, 5, 0.5, 2)


def history() -> list[dict[str, Any]]:
    lines, at = [], START
    for number, gap in enumerate(GAPS):
        at += timedelta(days=gap, minutes=1)
        line = fix(
            external_id=f"c{number}",
            submitted_at=at.isoformat(),
            author=("Ada", "Grace")[number % 2],
            agent_id=("claude", "codex")[number % 3 == 0],
            title=("fix: a", "feat: b", "Repair a crash")[number % 3],
            diff="".join(diff(PATHS[(number + i) % 4]) for i in range(1 + number % 2)),
        )
        if number % 2:
            # Known only later: some after the next changes were scored.
            line["outcome"] = {"kind": "fixed_again", "observed_at": (at + timedelta(days=number)).isoformat()}
        lines.append(line)
    return lines


def replayed(lines: list[dict[str, Any]]) -> list[list[float]]:
    """As training goes through a labelled history."""
    ledger, vectors = Ledger(), []
    for line in lines:
        at, parsed = datetime.fromisoformat(line["submitted_at"]), parse(line["diff"])
        keys = keys_of("acme/shop", line["author"], line["agent_id"], touched_paths(parsed))
        change = change_features(parsed)
        vectors.append(vector(change, history_of(keys, ledger.pasts(keys, at)), line.get("fix_type"), None, at))
        failed = line.get("outcome")
        ledger.changed(
            keys,
            at,
            mends=mends(line.get("fix_type"), line["title"]),
            expected=expected_failure(change),
            failed_at=datetime.fromisoformat(failed["observed_at"]) if failed else None,
        )
    return vectors


async def test_an_imported_history_has_the_vectors_that_training_computes(world: World) -> None:
    await world.start("scoring")
    api = await world.gateway()
    lines = history()
    content = b"\n".join(json.dumps(line).encode() for line in lines)
    await api.call("POST", "/v1/fixes/bulk", content=content, headers={"content-type": "application/x-ndjson"})

    async def all_scored() -> list[list[float]] | None:
        rows = [row["features"] for row in await world.owner.fetch(STORED)]
        return rows if len(rows) == len(lines) else None

    stored = await eventually(all_scored)
    for served, trained in zip(stored, replayed(lines), strict=True):
        assert served == pytest.approx(trained, nan_ok=True)
