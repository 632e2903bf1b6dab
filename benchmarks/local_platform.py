"""The real platform, started for a measurement or a test in a home of its own, and gone with it."""

import asyncio
import json
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

READY_SECONDS = 90.0
STOP_SECONDS = 40.0
CHECKOUT = Path(__file__).parents[1]
AMPLE = CHECKOUT / "benchmarks/ample_limits.toml"


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@dataclass
class Platform:
    home: Path
    port: int
    process: asyncio.subprocess.Process | None = None

    @property
    def log(self) -> Path:
        return self.home.with_suffix(".log")

    async def start(self) -> None:
        """As `make run` does, on the data that an earlier start has left."""
        environ = {name: value for name, value in os.environ.items() if not name.startswith("PRECEDENT_")}
        environ |= {"PRECEDENT_HOME": str(self.home), "PRECEDENT_PORT": str(self.port)}
        environ |= {"PRECEDENT_POLICIES": str(AMPLE)}
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "deploy.local", cwd=CHECKOUT, env=environ, stdout=log, stderr=log
            )
        deadline = time.monotonic() + READY_SECONDS
        while not self.pids():
            if self.process.returncode is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the platform did not come up:\n{self.log.read_text()[-4000:]}")
            await asyncio.sleep(0.1)

    def facts(self) -> dict[str, Any]:
        try:
            return dict(json.loads((self.home / "platform.json").read_text()))
        except (FileNotFoundError, json.JSONDecodeError):
            return {}

    def pids(self) -> dict[str, int]:
        """By name, of what is ready; empty until everything is."""
        return dict(self.facts().get("pids", {}))

    def key(self) -> str:
        return (self.home / "api-key").read_text().strip()

    async def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """SIGKILL takes the supervisor alone; its children follow by themselves."""
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(how)
            await asyncio.wait_for(self.process.wait(), STOP_SECONDS)
        (self.home / "platform.json").unlink(missing_ok=True)


@asynccontextmanager
async def platform() -> AsyncIterator[Platform]:
    with tempfile.TemporaryDirectory(prefix="precedent-", ignore_cleanup_errors=True) as directory:
        Path(directory).chmod(0o711)  # as root, Postgres runs as nobody and has to pass
        made = Platform(Path(directory) / "home", free_port())
        try:
            await made.start()
            yield made
        finally:
            await made.stop()
