"""The supervisor with the real servers and small stand-ins for services: real processes, real signals, real kills."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from deploy.local.supervisor import ONE_WISH_SECONDS
from tests.e2e.stand_ins import Answers
from tests.servers import free_port, reachable_directory

STAND_INS = Path(__file__).with_name("stand_ins.py")
SECONDS = 60.0
SERVERS = {"nats", "valkey", "postgres"}
SERVICES = {"scoring", "trainer", "gateway"}


def until(probe: Callable[[], Any], what: str) -> Any:
    """The first answer that is neither empty nor False."""
    deadline = time.monotonic() + SECONDS
    while not (answer := probe()):
        assert time.monotonic() < deadline, f"still not: {what}"
        time.sleep(0.02)
    return answer


def alive(pid: int) -> bool:
    """A zombie is dead: whose duty it is to bury it differs from machine to machine."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


class Platform:
    def __init__(self, home: Path, port: int, run: str = 'exec "$@"', **env: str) -> None:
        self.home = home
        self.output = home.with_name(f"{home.name}.{time.monotonic_ns()}.log")
        self.port = port
        with self.output.open("w") as out:
            self.process = subprocess.Popen(
                ["/bin/sh", "-c", run, "sh", sys.executable, STAND_INS],
                env={**os.environ, "PRECEDENT_HOME": str(home), "PRECEDENT_PORT": str(port), **env},
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    def log(self) -> str:
        return self.output.read_text()

    def says(self, text: str) -> bool:
        return text in self.log()

    def wait_for(self, text: str) -> None:
        until(lambda: self.says(text) or self.process.poll() is not None, text)
        assert self.says(text), self.log()

    def ready(self) -> "Platform":
        self.wait_for("Precedent is ready")
        return self

    def facts(self) -> dict[str, Any]:
        return dict(json.loads((self.home / "platform.json").read_text()))

    def pids(self) -> dict[str, int]:
        return dict(self.facts()["pids"])

    def environment_of(self, name: str) -> dict[str, str]:
        url = self.facts()["metrics"][name]
        return dict(json.load(urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url)))

    def ends(self, sent: signal.Signals) -> int:
        self.process.send_signal(sent)
        return self.process.wait(SECONDS)


Start = Callable[..., Platform]


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that others may pass through, unlike pytest's own: root's Postgres runs as nobody."""
    with reachable_directory() as name:
        yield Path(name)


@pytest.fixture
def start(place: Path) -> Iterator[Start]:
    """Starts a platform; with the same `home` again, the next one on the same data."""
    started: list[Platform] = []
    port = free_port()

    def go(home: str = "home", **env: str) -> Platform:
        started.append(Platform(place / home, int(env.pop("PRECEDENT_PORT", port)), **env))
        return started[-1]

    yield go
    for platform in started:
        if platform.process.poll() is None:
            platform.ends(signal.SIGTERM)


async def test_everything_is_up_each_service_as_its_own_role_and_a_signal_leaves_nothing(start: Start) -> None:
    platform = start().ready()
    pids, facts = platform.pids(), platform.facts()
    assert set(pids) == SERVERS | SERVICES
    assert (platform.home / "platform.json").stat().st_mode & 0o777 == 0o600
    assert (platform.home / "secrets.json").stat().st_mode & 0o777 == 0o600
    assert platform.environment_of("scoring")["PRECEDENT_DATABASE_URL"] == facts["database_urls"]["scoring_rw"]
    assert platform.environment_of("gateway")["PRECEDENT_DATABASE_URL"] == facts["database_urls"]["gateway_ro"]
    assert not any(k.startswith("PRECEDENT_PASSWORD") for k in platform.environment_of("gateway"))
    connection = await asyncpg.connect(facts["database_url"])
    assert await connection.fetchval("select count(*) from pg_available_extensions where name = 'vector'") == 1
    assert await connection.fetchval("show fsync") == "on"
    await connection.close()
    assert platform.ends(signal.SIGTERM) == 0
    assert not [name for name, pid in pids.items() if alive(pid)]
    assert not (platform.home / "platform.json").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="shared memory is seen in /proc")
def test_whoever_does_not_wait_for_the_end_leaves_no_shared_memory(start: Start) -> None:
    platform = start(PRECEDENT_DEAF="1").ready()
    postgres = platform.pids()["postgres"]
    maps = Path(f"/proc/{postgres}/maps").read_text()
    files = [Path(name) for name in re.findall(r"/dev/shm/PostgreSQL\.\d+", maps)]  # noqa: S108
    assert files
    assert postgres in makers_of_shared_memory()
    platform.process.send_signal(signal.SIGTERM)
    platform.wait_for("SIGTERM: stopping")
    time.sleep(ONE_WISH_SECONDS + 0.1)
    assert platform.ends(signal.SIGTERM) == 128 + signal.SIGTERM
    assert postgres not in makers_of_shared_memory()
    assert not [file for file in files if file.exists()]


def makers_of_shared_memory() -> set[int]:
    """System V's, by process id."""
    return {int(line.split()[4]) for line in Path("/proc/sysvipc/shm").read_text().splitlines()[1:]}


def test_servers_use_no_standard_port_and_ask_for_a_password(start: Start) -> None:
    facts = start().ready().facts()
    urls = [facts[f"{name}_url"] for name in ("nats", "redis", "database")]
    ports = [int(re.findall(r":(\d+)", url)[-1]) for url in urls]
    assert not {4222, 6379, 5432} & set(ports)
    with socket.create_connection(("127.0.0.1", ports[1])) as s:
        s.sendall(b"PING\r\n")
        assert s.recv(100).startswith(b"-NOAUTH")


async def test_the_next_run_finds_data_ports_and_passwords_again(start: Start) -> None:
    first = start().ready()
    facts = first.facts()
    connection = await asyncpg.connect(facts["database_url"])
    await connection.execute("create table kept as select 42 as answer")
    await connection.close()
    assert first.ends(signal.SIGINT) == 0
    second = start().ready()
    again = second.facts()
    assert again.pop("pids") != facts.pop("pids")
    assert again == facts
    connection = await asyncpg.connect(again["database_url"])
    assert await connection.fetchval("select answer from kept") == 42
    await connection.close()


async def test_a_killed_supervisor_leaves_nobody_and_the_next_run_starts(start: Start) -> None:
    first = start().ready()
    connection = await asyncpg.connect(first.facts()["database_url"])
    await connection.execute("create table kept as select 42 as answer")
    pids = first.pids()
    first.process.kill()
    first.process.wait()
    second = start().ready()
    assert not [name for name, pid in pids.items() if alive(pid)]
    connection = await asyncpg.connect(second.facts()["database_url"])
    assert await connection.fetchval("select answer from kept") == 42
    await connection.close()


def test_everything_killed_at_once_starts_again_though_the_pid_file_names_a_living_process(start: Start) -> None:
    first = start().ready()
    data = first.home / "postgres" / "data"
    stale = (data / "postmaster.pid").read_text().splitlines()
    pids = first.pids()
    first.process.kill()
    for pid in pids.values():
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    first.process.wait()
    until(lambda: not any(map(alive, pids.values())), "all dead")
    (data / "postmaster.pid").write_text("\n".join([str(os.getpid()), *stale[1:]]) + "\n")
    assert start().ready().says("is ready")


def test_what_is_killed_is_started_again_and_that_is_said(start: Start) -> None:
    platform = start().ready()
    for name, pid in platform.pids().items():
        os.kill(pid, signal.SIGKILL)
        platform.wait_for(f"{name} is back after")
        assert platform.says(f"{name} was killed by SIGKILL; it is started again in 0.2 s")
        assert platform.pids()[name] != pid
    assert all(map(alive, platform.pids().values()))
    assert platform.ends(signal.SIGTERM) == 0


async def test_a_postgres_that_was_asked_to_end_does_not_wait_for_clients_who_stay(start: Start) -> None:
    platform = start().ready()
    connection = await asyncpg.connect(platform.facts()["database_url"])
    os.kill(platform.pids()["postgres"], signal.SIGTERM)
    platform.wait_for("postgres is back after")
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await connection.fetchval("select 1")
    await (await asyncpg.connect(platform.facts()["database_url"])).close()
    assert platform.ends(signal.SIGTERM) == 0


def test_a_service_that_keeps_dying_stops_everything_with_its_exit_code(start: Start) -> None:
    platform = start().ready()
    pids = platform.pids()
    for death in range(1, 6):
        os.kill(platform.pids()["trainer"], signal.SIGKILL)
        until(lambda n=death: n == 5 or platform.log().count("trainer is back") == n, "back")  # type: ignore[misc]
    assert platform.process.wait(SECONDS) == 128 + signal.SIGKILL
    assert platform.says("trainer was killed by SIGKILL, 5 times in a row: everything stops")
    assert not [name for name, pid in pids.items() if alive(pid)]


@pytest.mark.parametrize("closed", [">&-", "<&- >&- 2>&-"])
def test_with_its_streams_closed_it_runs_all_the_same(start: Start, closed: str) -> None:
    platform = start(run=f'exec "$@" {closed}')
    until((platform.home / "platform.json").exists, "ready")
    assert all(map(alive, platform.pids().values()))
    assert platform.ends(signal.SIGTERM) == 0


def test_two_scoring_processes_when_asked(start: Start) -> None:
    platform = start(PRECEDENT_SCORING_REPLICAS="2").ready()
    assert set(platform.pids()) == SERVERS | {"scoring-1", "scoring-2", "trainer", "gateway"}
    metrics = platform.facts()["metrics"]
    assert metrics["scoring-1"] != metrics["scoring-2"]


def test_a_server_named_in_the_environment_is_not_started_here(start: Start) -> None:
    theirs = start("theirs").ready()
    url = theirs.facts()["redis_url"]
    platform = start("ours", PRECEDENT_PORT=str(free_port()), PRECEDENT_REDIS_URL=url).ready()
    assert "valkey" not in platform.pids()
    assert platform.environment_of("scoring")["PRECEDENT_REDIS_URL"] == url


async def test_what_keeps_us_from_a_server_of_ones_own_is_told_in_one_sentence(start: Start, place: Path) -> None:
    facts = start().ready().facts()
    database, bus = facts["database_url"], facts["nats_url"]
    connection = await asyncpg.connect(database)
    await connection.execute("create role guest login password 'guest'")
    await connection.close()
    closed = f"127.0.0.1:{free_port()}"
    db_at, bus_at = (url.rpartition("@")[2] for url in (database, bus))
    nowhere = "nowhere.invalid"

    def told(**env: str) -> str:
        urls = {"PRECEDENT_DATABASE_URL": database, "PRECEDENT_NATS_URL": bus}
        done = subprocess.run(
            [sys.executable, "-m", "deploy.local.prepare"],
            env={**os.environ, **urls, "PRECEDENT_HOME": str(place), **env},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        return done.stderr

    def database_told(url: str) -> str:
        return told(PRECEDENT_DATABASE_URL=url).removeprefix("PRECEDENT_DATABASE_URL ")

    def nats_told(url: str) -> str:
        return told(PRECEDENT_NATS_URL=url).removeprefix("PRECEDENT_NATS_URL ")

    db_host = db_at.partition("/")[0]
    assert re.fullmatch(rf"\({nowhere}\): .* not known\n", database_told(f"postgresql://u:hidden@{nowhere}/x"))
    assert database_told(f"postgresql://u:hidden@{closed}/x") == f"({closed}): Connection refused\n"
    assert "password authentication failed" in database_told(f"postgresql://u:hidden@{db_at}")
    assert database_told(f"postgresql://guest:guest@{db_at}").startswith(f"({db_host}): permission denied")
    assert nats_told(f"nats://u:hidden@{bus_at}") == f"({bus_at}): nats: 'Authorization Violation'\n"
    assert nats_told(f"nats://u:hidden@{closed}") == f"({closed}): Connection refused\n"
    assert nats_told("nonsense").startswith("(nonsense): ")
    for gib, words in {"9999999": "make room, or lower PRECEDENT_LOG_GIB", "much": "has to be a number"}.items():
        sentence = told(PRECEDENT_LOG_GIB=gib)
        assert words in sentence
        assert len(sentence.splitlines()) == 1


REFUSALS: Mapping[str, tuple[dict[str, str], str]] = {
    "a port that is no number": ({"PRECEDENT_PORT": "99999"}, "PRECEDENT_PORT is '99999', but has to be a number"),
    "no replicas": ({"PRECEDENT_SCORING_REPLICAS": "0"}, "PRECEDENT_SCORING_REPLICAS is '0'"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_wrong_settings_are_refused_in_one_sentence(start: Start, case: str) -> None:
    env, sentence = REFUSALS[case]
    platform = start(**env)
    assert platform.process.wait(SECONDS) == 1
    assert platform.says(sentence)
    assert len(platform.log().splitlines()) == 1


def test_a_taken_port_is_refused_before_anything_is_started(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        platform = start(PRECEDENT_PORT=str(port))
        assert platform.process.wait(SECONDS) == 1
    assert platform.log() == (
        f"precedent: cannot listen on 127.0.0.1:{port} (address already in use): stop what is using the port, "
        f"or choose another one with PRECEDENT_PORT={port + 1} make run\n"
    )
    assert not (platform.home / "postgres").exists()


def test_a_port_taken_while_everything_starts_is_refused_in_the_same_words_whoever_answers_there(start: Start) -> None:
    platform = start()
    until((platform.home / "ports.json").exists, "past the first look at the port")
    with ThreadingHTTPServer(("127.0.0.1", platform.port), Answers) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        assert platform.process.wait(SECONDS) == 1
        other.shutdown()
    assert not platform.says("is ready")
    assert platform.log().splitlines()[-1] == (
        f"precedent: cannot listen on 127.0.0.1:{platform.port} (address already in use): stop what is using the port, "
        f"or choose another one with PRECEDENT_PORT={platform.port + 1} make run"
    )


def test_a_second_platform_never_shares_a_home(start: Start) -> None:
    first = start().ready()
    second = start(PRECEDENT_PORT=str(free_port()))
    assert second.process.wait(SECONDS) == 1
    assert second.says(f"already running with its data in {first.home} (process {first.process.pid})")
    assert first.process.poll() is None


def test_lost_passwords_are_told_and_not_papered_over(start: Start) -> None:
    first = start().ready()
    first.ends(signal.SIGTERM)
    (first.home / "secrets.json").unlink()
    second = start()
    assert second.process.wait(SECONDS) == 1
    assert second.says("secrets.json no longer holds the password that the database")


@pytest.mark.skipif(os.getuid() != 0, reason="only root has to leave its own directory")
def test_root_below_a_directory_closed_to_others_moves_postgres_out_and_finds_it_again(
    start: Start, place: Path
) -> None:
    (place / "closed").mkdir(mode=0o700)
    first = start("closed/home").ready()
    moved = (first.home / "postgres").resolve()
    try:
        assert not moved.is_relative_to(place)
        first.wait_for(f"data stays in {first.home} and {moved}")
        assert first.ends(signal.SIGTERM) == 0
        second = start("closed/home").ready()
        assert (second.home / "postgres").resolve() == moved
        assert second.ends(signal.SIGTERM) == 0
    finally:
        shutil.rmtree(moved)
