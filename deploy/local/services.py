"""The services as a table, and how each is started: its own port, its own database role."""

import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

from deploy.local.probes import http_get

CHECKOUT = Path(__file__).parents[2]
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


@dataclass(frozen=True, kw_only=True)
class Service:
    name: str
    role: str
    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    replicas_from: str | None = None  # the variable that says how many


def _module(name: str) -> Sequence[str]:
    return (sys.executable, "-m", f"services.{name}")


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """`prepare` runs once before the others, as the owner of the stores; the gateway opens last and closes first."""

    prepare: Sequence[str]
    workers: Sequence[Service]
    gateway: Service


# Numeric libraries take every core for vectors of a few dozen numbers; one thread is faster there.
FLEET = Fleet(
    prepare=(sys.executable, "-m", "deploy.local.prepare"),
    workers=(
        Service(
            name="scoring",
            role="scoring_rw",
            argv=_module("scoring"),
            env=ONE_THREAD,
            replicas_from="PRECEDENT_SCORING_REPLICAS",
        ),
        Service(name="patterns", role="patterns_rw", argv=_module("patterns"), env=ONE_THREAD),
        Service(name="trainer", role="trainer_rw", argv=_module("trainer")),
    ),
    gateway=Service(name="gateway", role="gateway_ro", argv=_module("gateway")),
)


def names_of(service: Service, replicas: int) -> list[str]:
    return [service.name] if replicas == 1 else [f"{service.name}-{n}" for n in range(1, replicas + 1)]


def as_role(database_url: str, role: str, password: str) -> str:
    """The same database, entered as `role`."""
    url = urlsplit(database_url)
    where = url.netloc.rpartition("@")[2]
    return urlunsplit(url._replace(netloc=f"{role}:{quote(password, safe='')}@{where}"))


def http_ready(host: str, port: int) -> Callable[[], Awaitable[bool]]:
    async def ready() -> bool:
        return (await http_get(port, "/readyz", host))[0] == 200

    return ready
