import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest

from deploy.local.environment import Entrance, entrance, home_path, replicas
from deploy.local.errors import PlatformError
from deploy.local.home import LOOPBACK, Home, port_problem, write_private
from deploy.local.log_lines import log_lines
from deploy.local.postgres import reason_of
from deploy.local.services import as_role


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    opened = Home.open(tmp_path / "home")
    yield opened
    os.close(opened.lock_fd)


def test_passwords_are_made_once_and_only_missing_ones_later(home: Home) -> None:
    first = home.passwords(["nats"])
    second = home.passwords(["nats", "valkey"])
    assert second["nats"] == first["nats"] != second["valkey"]
    assert (home.path / "secrets.json").stat().st_mode & 0o777 == 0o600


def test_ports_are_kept_and_differ(home: Home) -> None:
    names = [f"service-{n}" for n in range(50)]
    ports = home.ports(names, not_this=8080)
    assert len(set(ports.values())) == 50
    assert home.ports(names, not_this=8080) == ports


def test_a_kept_port_that_somebody_took_is_replaced_for_good(home: Home) -> None:
    kept = home.ports(["nats", "valkey"], not_this=8080)
    with socket.create_server((LOOPBACK, kept["nats"])):
        changed = home.ports(["nats", "valkey"], not_this=8080)
    assert changed["nats"] not in kept.values()
    assert changed["valkey"] == kept["valkey"]
    assert home.ports(["nats", "valkey"], not_this=8080) == changed


def test_the_gateways_port_is_left_to_the_gateway(home: Home) -> None:
    kept = home.ports(["nats"], not_this=8080)["nats"]
    assert home.ports(["nats"], not_this=kept)["nats"] != kept


def test_a_damaged_file_is_named(home: Home) -> None:
    (home.path / "ports.json").write_text("{")
    with pytest.raises(PlatformError, match=r"ports\.json is damaged"):
        home.ports(["nats"], not_this=8080)


@pytest.mark.parametrize("text", ["null", "[1]", '"x"', "7", '{"nats": "4222"}', '{"nats": 0}', '{"nats": 65536}',
                                  '{"nats": true}', '{"nats": 4222.0}', '{"nats": null}'])  # fmt: skip
def test_ports_that_are_none_are_told_with_their_file(home: Home, text: str) -> None:
    (home.path / "ports.json").write_text(text)
    sentence = rf"^{home.path}/ports\.json is damaged \(it has to hold numbers from 1 to 65535 by name\): repair it, or"
    with pytest.raises(PlatformError, match=sentence):
        home.ports(["nats"], not_this=8080)


@pytest.mark.parametrize("text", ["null", "[1]", '"x"', '{"nats": 7}', '{"nats": ""}', '{"nats": {}}'])
def test_passwords_that_are_none_are_told_with_their_file(home: Home, text: str) -> None:
    (home.path / "secrets.json").write_text(text)
    with pytest.raises(PlatformError, match=r"secrets\.json is damaged \(it has to hold passwords by name\)"):
        home.passwords(["nats"])


def test_the_lock_is_held_until_the_last_process_that_inherited_it_has_gone(tmp_path: Path) -> None:
    first = Home.open(tmp_path)
    heir = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=(first.lock_fd,))
    os.close(first.lock_fd)
    try:
        with pytest.raises(PlatformError, match=f"already running with its data in {tmp_path} .process {os.getpid()}"):
            Home.open(tmp_path)
    finally:
        heir.communicate(b"\n")
    os.close(Home.open(tmp_path).lock_fd)


def test_a_private_file_is_replaced_and_never_readable_by_others(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("old")
    path.chmod(0o644)
    write_private(path, "new")
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in tmp_path.iterdir()] == ["secret"]


def test_a_port_is_free_or_says_why_not() -> None:
    with socket.create_server((LOOPBACK, 0)) as taken:
        port = taken.getsockname()[1]
        assert port_problem(LOOPBACK, port) == "Address already in use"
    assert port_problem(LOOPBACK, port) is None


@pytest.mark.parametrize("text", ["0", "65536", "http", "-1", "8080.0", "²"])
def test_a_port_is_a_port(text: str) -> None:
    with pytest.raises(PlatformError, match=r"PRECEDENT_PORT is .* has to be a number from 1 to 65535"):
        entrance({"PRECEDENT_PORT": text})


def test_empty_variables_mean_the_default() -> None:
    environ = {"PRECEDENT_PORT": "", "PRECEDENT_HOST": "", "PRECEDENT_HOME": "", "REPLICAS": ""}
    assert entrance(environ) == Entrance(LOOPBACK, 8080)
    assert home_path(environ) == Path.cwd() / ".local"
    assert replicas(environ, "REPLICAS") == 1


@pytest.mark.parametrize(
    ("host", "url"),
    [("127.0.0.1", "http://127.0.0.1:80"), ("0.0.0.0", "http://127.0.0.1:80"), ("::", "http://[::1]:80")],  # noqa: S104
)
def test_one_who_listens_everywhere_is_reached_over_loopback(host: str, url: str) -> None:
    assert Entrance(host, 80).url == url


@pytest.mark.parametrize(
    ("owner", "entered"),
    [
        ("postgresql://u:p@db:5433/x?sslmode=require", "postgresql://r:s%40%2F@db:5433/x?sslmode=require"),
        ("postgresql://db/x", "postgresql://r:s%40%2F@db/x"),
        ("postgresql://u@[::1]:5433/x", "postgresql://r:s%40%2F@[::1]:5433/x"),
    ],
)
def test_a_role_enters_the_same_database(owner: str, entered: str) -> None:
    assert as_role(owner, "r", "s@/") == entered


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("environ", "out", "coloured"),
    [
        ({}, Terminal(), True),
        ({}, StringIO(), False),
        ({"FORCE_COLOR": "1"}, StringIO(), True),
        ({"NO_COLOR": "1"}, Terminal(), False),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, Terminal(), False),
        ({"NO_COLOR": ""}, Terminal(), True),
    ],
)
def test_colour_follows_the_terminal_and_the_wish(environ: dict[str, str], out: StringIO, coloured: bool) -> None:
    log_lines(["nats", "gateway"], environ, out)("nats", "hello")
    assert ("\x1b[" in out.getvalue()) is coloured


def test_prefixes_have_one_width() -> None:
    out = StringIO()
    say = log_lines(["nats", "gateway"], {}, out)
    say("nats", "a")
    say("gateway", "b")
    assert out.getvalue() == "nats    | a\ngateway | b\n"


def test_a_reader_who_went_away_stops_nothing() -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as out:
        say = log_lines(["nats"], {}, out)
        say("nats", "hello")
        say("nats", "anybody?")


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        (b"creating\ninitdb: error: no room\ninitdb: removing data\n", "error: no room"),
        (
            b"creating ... sh: denied\n\nchild exited\ninitdb: removing data\n",
            "sh: denied; child exited; initdb: removing data",
        ),
        (b"", "no word"),
    ],
)
def test_what_kept_postgres_from_a_database_is_told(output: bytes, reason: str) -> None:
    assert reason in reason_of(output)
