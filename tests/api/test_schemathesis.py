"""The whole API under generated requests: every check of schemathesis, with a key that may do everything."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from tests.world import Api, World

HERE = Path(__file__).parent
# `make fuzz-api` looks longer, in every phase, and elsewhere each time.
PHASES = os.environ.get("PRECEDENT_FUZZ_PHASES", "examples,fuzzing")
EXAMPLES = os.environ.get("PRECEDENT_FUZZ_EXAMPLES", "2")
SECONDS = os.environ.get("PRECEDENT_FUZZ_SECONDS", "25")
SEED = os.environ.get("PRECEDENT_FUZZ_SEED", "1")


@pytest.fixture
async def api(world: World) -> Api:
    await world.start("scoring", "patterns")
    return await world.gateway()


async def test_generated_requests_find_nothing(api: Api) -> None:
    code, said = await fuzz(api)
    assert code == 0, said


async def fuzz(api: Api) -> tuple[int, str]:
    """Its exit code and what it says. A process of its own: the gateway answers on this one's event loop."""
    url, key = api.client.base_url.join("/openapi.json"), await api.world.key()
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
