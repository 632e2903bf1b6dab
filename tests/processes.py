"""A gateway as a process of its own, started as any supervisor starts it."""

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.servers import free_port
from tests.world import Api, World, eventually, http_client

START_SECONDS = 60.0


@asynccontextmanager
async def gateway_process(world: World, **environment: str) -> AsyncIterator[tuple[Process, Api]]:
    """Ready when the block begins, and gone when it ends. `environment` without the names' `PRECEDENT_`."""
    settings, port = world.settings("gateway_ro"), free_port()
    urls = {name: getattr(settings, name.lower()) for name in ("NATS_URL", "REDIS_URL", "DATABASE_URL")}
    given = urls | {"PORT": str(port)} | environment
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.gateway",
        env=os.environ | {f"PRECEDENT_{name}": value for name, value in given.items()}, stdout=DEVNULL, stderr=DEVNULL,
    )  # fmt: skip
    try:
        async with http_client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:

            async def ready() -> bool:
                return (await client.get("/readyz")).status_code == 200

            await eventually(ready, START_SECONDS)
            yield process, Api(world, client)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
