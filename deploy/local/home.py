"""What stays between runs, below one directory: the lock, generated passwords, chosen ports, data."""

import contextlib
import fcntl
import json
import os
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from random import SystemRandom
from typing import Any

from deploy.local.errors import PlatformError
from shared.listening import listen

LOOPBACK = "127.0.0.1"
# Below the kernel's range for outgoing connections, so that none of those sits on a port while its server restarts.
PORTS = range(20_000, 32_000)
HIGHEST_PORT = 65_535
REMAINS_SECONDS = 20.0  # how long the processes of a killed run may take to end


@dataclass(frozen=True)
class Home:
    """`lock_fd` holds the lock; processes that inherit it hold it too, so the lock is free only when all are gone."""

    path: Path
    lock_fd: int

    @classmethod
    def open(cls, path: Path) -> "Home":
        """Raises `PlatformError` when somebody else runs here."""
        if not path.exists():
            path.mkdir(parents=True)
            path.chmod(0o711 if os.getuid() == 0 else 0o700)  # root's Postgres runs as nobody, who must pass through
        fd = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        _lock(fd, path)
        os.ftruncate(fd, 0)
        os.pwrite(fd, str(os.getpid()).encode(), 0)
        return cls(path, fd)

    def directory(self, name: str) -> Path:
        path = self.path / name
        path.mkdir(exist_ok=True)
        path.chmod(0o700)
        return path

    def _read(self, name: str, fits: Callable[[Any], bool], what: str) -> dict[str, Any]:
        """An object of values that fit. Raises `PlatformError` that says `what` they are where they do not."""
        try:
            content = json.loads((self.path / name).read_text())
            if not isinstance(content, dict) or not all(map(fits, content.values())):
                raise ValueError(f"it has to hold {what} by name")
        except FileNotFoundError:
            return {}
        except ValueError as e:
            raise PlatformError(f"{self.path / name} is damaged ({e}): repair it, or remove it") from e
        return content

    def passwords(self, names: Iterable[str]) -> dict[str, str]:
        """By name; generated the first time they are asked for."""
        kept = self._read("secrets.json", _is_password, "passwords")
        missing = {name: secrets.token_hex(24) for name in names if name not in kept}
        if missing:
            write_private(self.path / "secrets.json", json.dumps(kept | missing, indent=1))
        return kept | missing

    def ports(self, names: Iterable[str], not_this: int) -> dict[str, int]:
        """By name; chosen once, and again only if somebody else took one meanwhile: clients find a server again."""
        kept = self._read("ports.json", _is_port, "numbers from 1 to 65535")
        chosen: dict[str, int] = {}
        for name in names:
            taken = {not_this, *chosen.values()}
            usable = name in kept and kept[name] not in taken and port_problem(LOOPBACK, kept[name]) is None
            chosen[name] = kept[name] if usable else _free_port({*taken, *kept.values()})
        write_private(self.path / "ports.json", json.dumps(kept | chosen, indent=1))
        return chosen


def _is_password(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _is_port(value: Any) -> bool:
    return type(value) is int and 1 <= value <= HIGHEST_PORT


def write_private(path: Path, text: str) -> None:
    """For our eyes only; a reader sees the old file or the new one."""
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "w") as f:
        f.write(text)
        f.flush()
        os.fsync(fd)
    draft.replace(path)


def port_problem(host: str, port: int) -> str | None:
    """Why nobody could listen there; None when it is free."""
    try:
        listen(host, port).close()
    except OSError as e:
        return e.strerror
    return None


def _free_port(taken: set[int]) -> int:
    for port in SystemRandom().sample(PORTS, 200):
        if port not in taken and port_problem(LOOPBACK, port) is None:
            return port
    raise PlatformError(f"no free port between {PORTS.start} and {PORTS.stop} on {LOOPBACK}")


def _lock(fd: int, path: Path) -> None:
    """What a killed run left behind is given the time to end."""
    deadline = time.monotonic() + REMAINS_SECONDS
    while True:
        with contextlib.suppress(BlockingIOError):
            return fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        owner = int(os.pread(fd, 20, 0) or 0)
        if owner and _alive(owner):
            raise PlatformError(
                f"Precedent is already running with its data in {path} (process {owner}): "
                "stop it, or give this one another place with PRECEDENT_HOME"
            )
        if time.monotonic() > deadline:
            raise PlatformError(
                f"processes of an earlier run still use {path}: end them (`fuser {path}/lock` names them)"
            )
        time.sleep(0.05)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
