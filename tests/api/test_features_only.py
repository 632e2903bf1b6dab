"""Code may stay at home: the numbers that the command line makes are those that scoring would have made."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from cli.score import measured
from tests.diffs import diff, fix
from tests.world import Api, World

PATHS = ("src/auth.py", "src/token.py", "tests/test_auth.py", "docs/auth.md")


def change() -> str:
    return "".join(diff(path, new=f"    return {path!r}") for path in PATHS)


async def score(api: Api, *options: str, text: str | None = None) -> tuple[int, str]:
    """`precedent score` in a process of its own: (exit code, what it printed)."""
    url, key = str(api.client.base_url), await api.world.key("cli")
    process = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("precedent"), "--url", url, "--key", key,
        "score", "--repository", "acme/shop", *options,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    out, _ = await process.communicate((change() if text is None else text).encode())
    assert process.returncode is not None
    return process.returncode, out.decode()


async def answer(api: Api, *options: str) -> dict[str, Any]:
    code, out = await score(api, "--json", "--explain", *options)
    assert code == 0, out
    found: dict[str, Any] = json.loads(out)
    return found


async def test_features_made_at_home_score_as_the_diff_does(world: World) -> None:
    await world.start("scoring", "patterns")
    api = await world.gateway()
    for number in range(3):
        handed_in = fix(diff=change(), agent_id="human", external_id=str(number))
        await api.post("/v1/fixes", handed_in, headers={"Prefer": "wait=10"})
    whole, at_home = await answer(api), await answer(api, "--features-only")
    # The past is some seconds older at the second question.
    assert at_home["confidence"] == pytest.approx(whole["confidence"], abs=1e-4)
    assert at_home["evidence"] == whole["evidence"] == 3
    assert [c["feature"] for c in at_home["contributions"]] == [c["feature"] for c in whole["contributions"]]
    nameless = await answer(api, "--features-only", "--no-paths")
    known = {c["feature"] for c in whole["contributions"]} - {c["feature"] for c in nameless["contributions"]}
    assert "file_changes_max" in known, "without names there is no past of files"


async def test_a_fix_of_features_and_paths_adds_to_the_past_of_its_files(world: World) -> None:
    await world.start("scoring", "patterns")
    api = await world.gateway()
    body = {k: v for k, v in fix(agent_id="human").items() if k != "diff"}
    for number in range(2):
        sent = body | measured(change(), with_paths=True) | {"external_id": str(number)}
        done = await api.post("/v1/fixes", sent, headers={"Prefer": "wait=10"})
        assert done.status_code in (201, 202), done.text
        await api.until(f"/v1/fixes/{done.json()['id']}", "status", "scored")
    assert (await answer(api))["evidence"] == 2


async def test_paths_go_with_features_alone(world: World) -> None:
    api = await world.gateway()
    refused = await api.post("/v1/fixes", fix(paths=["src/auth.py"]))
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (400, "paths")


async def test_a_diff_that_cannot_be_read_is_told_before_anything_is_sent(world: World) -> None:
    api = await world.gateway()
    code, out = await score(api, "--features-only", text="diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ nonsense @@\n")
    assert code == 2
    assert "cannot be read" in out
    code, out = await score(api, "--no-paths")
    assert code == 2
