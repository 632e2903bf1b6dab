"""What a person may say through the environment, checked before anything is started."""

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.local.errors import PlatformError
from deploy.local.home import HIGHEST_PORT, LOOPBACK
from shared.listening import listen

NEAR = {"0.0.0.0": LOOPBACK, "::": "::1"}  # noqa: S104 - how one who listens everywhere is reached from here
MOST_REPLICAS = 16


@dataclass(frozen=True)
class Entrance:
    """Where a service listens, and how it is reached from this machine."""

    host: str
    port: int

    @property
    def near(self) -> str:
        return NEAR.get(self.host, self.host)

    @property
    def url(self) -> str:
        return f"http://[{self.near}]:{self.port}" if ":" in self.near else f"http://{self.near}:{self.port}"


def entrance(environ: Mapping[str, str]) -> Entrance:
    return Entrance(environ.get("PRECEDENT_HOST") or LOOPBACK, _number(environ, "PRECEDENT_PORT", 8080, HIGHEST_PORT))


def opened(place: Entrance, otherwise: str = "") -> socket.socket:
    """A socket that listens there; raises `PlatformError` where somebody else does, with what helps `otherwise`."""
    try:
        return listen(place.host, place.port)
    except OSError as e:
        raise PlatformError(
            f"cannot listen on {place.host}:{place.port} ({(e.strerror or '').lower()}): stop what is using the port, "
            f"or {otherwise or f'choose another one with PRECEDENT_PORT={place.port + 1} make run'}"
        ) from e


def home_path(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("PRECEDENT_HOME") or ".local").expanduser().absolute()


def replicas(environ: Mapping[str, str], variable: str | None) -> int:
    return _number(environ, variable, 1, MOST_REPLICAS) if variable else 1


def _number(environ: Mapping[str, str], variable: str, default: int, highest: int) -> int:
    text = environ.get(variable) or str(default)
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= highest:
        raise PlatformError(f"{variable} is {text!r}, but has to be a number from 1 to {highest}")
    return int(text)
