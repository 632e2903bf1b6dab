"""The whole API under generated requests: every check of schemathesis, alone and one call after the other."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from shared.keys import SCOPES
from tests.world import Api, World

HERE = Path(__file__).parent
# `make fuzz-api` looks longer, in every phase, elsewhere each time, and with a key of each scope alone.
KEYS = os.environ.get("PRECEDENT_FUZZ_KEYS", "all").split(",")
PHASES = os.environ.get("PRECEDENT_FUZZ_PHASES", "examples,fuzzing,stateful")
EXAMPLES = os.environ.get("PRECEDENT_FUZZ_EXAMPLES", "2")
SECONDS = os.environ.get("PRECEDENT_FUZZ_SECONDS", "12")
SEED = os.environ.get("PRECEDENT_FUZZ_SEED", "1")


@pytest.fixture
async def api(world: World) -> Api:
    await world.start("scoring", "patterns")
    return await world.gateway()


@pytest.mark.parametrize("may", KEYS)
async def test_generated_requests_find_nothing(api: Api, may: str) -> None:
    scopes = SCOPES if may == "all" else [scope for scope in SCOPES if scope == may]
    code, said = await fuzz(api, await api.world.key(scopes=scopes))
    assert code == 0, said


async def fuzz(api: Api, key: str) -> tuple[int, str]:
    """Its exit code and what it says. A process of its own: the gateway answers on this one's event loop."""
    url = api.client.base_url.join("/openapi.json")
    command = [
        str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(HERE / "schemathesis.toml"),
        "run", str(url), "--header", f"Authorization: Bearer {key}", "--checks", "all", "--phases", PHASES,
        "--max-examples", EXAMPLES, "--seed", SEED, "--generation-database", "none", "--no-color", "--no-shrink",
        "--max-time", SECONDS, "--exclude-operation-id", "events",
    ]  # fmt: skip
    environment = os.environ | {"SCHEMATHESIS_HOOKS": "tests.api.fuzz_hooks"}
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, env=environment, cwd=HERE.parents[1]
    )
    said, _ = await process.communicate()
    return process.returncode or 0, said.decode()
