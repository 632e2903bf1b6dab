"""From the environment and a home to everything that has to run: which servers, which services, in which order."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from deploy.local.environment import Entrance, opened, replicas
from deploy.local.errors import PlatformError
from deploy.local.home import LOOPBACK, Home, write_private
from deploy.local.postgres import postgres
from deploy.local.process import Proc
from deploy.local.servers import Server, nats, valkey
from deploy.local.services import CHECKOUT, Fleet, Service, as_role, http_ready, names_of
from deploy.local.supervisor import Stage
from shared.migrate import ROLES

SERVER_PASSWORDS = ("nats", "valkey", "postgres")
SERVER_PORTS = ("nats", "nats-monitor", "valkey", "postgres")
URL_VARIABLES = ("PRECEDENT_NATS_URL", "PRECEDENT_REDIS_URL", "PRECEDENT_DATABASE_URL")


@dataclass(frozen=True)
class Layout:
    home: Path
    stages: Sequence[Stage]
    data: Sequence[Path]
    facts: Mapping[str, Any]

    @property
    def names(self) -> list[str]:
        return [proc.name for stage in self.stages for proc in stage]

    def welcome(self) -> list[str]:
        return [
            f"Precedent is ready at {self.facts['gateway_url']}",
            f"the key for everything is in {self.facts['api_key_file']}",
            f"the key of another principal, who reports outcomes, is in {self.facts['reporter_key_file']}",
            f"Ctrl-C stops it; data stays in {' and '.join(map(str, self.data))}",
        ]

    def write_platform(self, pids: Mapping[str, int]) -> None:
        """`platform.json`: what a program on this machine needs to find its way around. It holds passwords."""
        write_private(self.home / "platform.json", json.dumps({**self.facts, "pids": pids}, indent=1))

    def remove_platform(self) -> None:
        (self.home / "platform.json").unlink(missing_ok=True)


def plan(environ: Mapping[str, str], home: Home, entrance: Entrance, fleet: Fleet) -> Layout:
    """Makes data directories and configuration; starts nothing."""
    workers = {n: s for s in fleet.workers for n in names_of(s, replicas(environ, s.replicas_from))}
    ports = home.ports((*SERVER_PORTS, *workers), not_this=entrance.port)
    passwords = home.passwords((*SERVER_PASSWORDS, *ROLES))
    servers = dict(_servers(environ, home, ports, passwords))
    urls = {variable: environ.get(variable) or servers[variable].url for variable in URL_VARIABLES}
    shared = {"PRECEDENT_LOG_FORMAT": "console", **environ, **urls, "PRECEDENT_HOME": str(home.path)}
    try:
        databases = {role: as_role(urls["PRECEDENT_DATABASE_URL"], role, passwords[role]) for role in ROLES}
    except ValueError as e:
        raise PlatformError("PRECEDENT_DATABASE_URL: no address stands between its [ and ]") from e

    def proc(service: Service, name: str, at: Entrance, otherwise: str = "") -> Proc:
        env = {"PRECEDENT_DATABASE_URL": databases[service.role], "PRECEDENT_HOST": at.host}
        env |= {"PRECEDENT_PORT": str(at.port), **service.env}
        ready, listens = http_ready(at.near, at.port), partial(opened, at, otherwise)
        return Proc(name=name, argv=service.argv, env=shared | env, cwd=CHECKOUT, ready=ready, listens=listens)

    places = {name: Entrance(LOOPBACK, ports[name]) for name in workers}
    return Layout(
        home=home.path,
        stages=[
            [server.proc for server in servers.values()],
            [_prepare(fleet, shared, passwords)],
            [proc(service, name, places[name], "start once more") for name, service in workers.items()],
            [proc(fleet.gateway, fleet.gateway.name, entrance)],
        ],
        data=[home.path, *(s.data for s in servers.values() if s.data and not s.data.is_relative_to(home.path))],
        facts={
            "home": str(home.path),
            "gateway_url": entrance.url,
            "api_key_file": str(home.path / "api-key"),
            "reporter_key_file": str(home.path / "reporter-key"),
            "nats_url": urls["PRECEDENT_NATS_URL"],
            "nats_monitor_url": None
            if "PRECEDENT_NATS_URL" not in servers
            else f"http://{LOOPBACK}:{ports['nats-monitor']}",
            "redis_url": urls["PRECEDENT_REDIS_URL"],
            "database_url": urls["PRECEDENT_DATABASE_URL"],
            "database_urls": databases,
            "metrics": {n: f"{p.url}/metrics" for n, p in {**places, fleet.gateway.name: entrance}.items()},
        },
    )


def _servers(
    environ: Mapping[str, str], home: Home, ports: Mapping[str, int], passwords: Mapping[str, str]
) -> Iterator[tuple[str, Server]]:
    """By the variable that would replace it; one that is replaced is left out."""
    if not environ.get("PRECEDENT_NATS_URL"):
        server = nats(home.directory("nats"), ports["nats"], ports["nats-monitor"], passwords["nats"])
        yield "PRECEDENT_NATS_URL", server
    if not environ.get("PRECEDENT_REDIS_URL"):
        yield "PRECEDENT_REDIS_URL", valkey(home.directory("valkey"), ports["valkey"], passwords["valkey"])
    if not environ.get("PRECEDENT_DATABASE_URL"):
        yield "PRECEDENT_DATABASE_URL", postgres(home.path / "postgres", ports["postgres"], passwords["postgres"])


def _prepare(fleet: Fleet, shared: Mapping[str, str], passwords: Mapping[str, str]) -> Proc:
    env = {f"PRECEDENT_PASSWORD_{role.upper()}": passwords[role] for role in ROLES}
    return Proc(name="prepare", argv=fleet.prepare, env={**shared, **env}, cwd=CHECKOUT, once=True)
