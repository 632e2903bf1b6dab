"""The table of limits: what is built in, what a file may replace, and how a mistake in it is told."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.local_platform import AMPLE
from services.gateway.app import ROUTES
from services.gateway.buckets import Demand, LocalBuckets
from services.gateway.limit_headers import limit_headers
from services.gateway.policies import Policies, read_policies
from services.gateway.route_names import RouteNames, names_of
from shared.settings import SettingsError

NAMES = names_of(ROUTES)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "limits.toml"


def read(path: Path, text: str) -> Policies:
    path.write_text(text)
    return read_policies(str(path), NAMES)


def test_without_a_file_it_is_a_hundred_a_minute_for_each_and_a_thousand_for_all() -> None:
    table = read_policies("", NAMES)
    user = table.of("GET /v1/fixes").policy_for("anyone", "0a1b2c3d")
    assert (user.name, user.limit, user.window_seconds) == ("user", 100, 60)
    assert (table.everybody.name, table.everybody.limit, table.everybody.window_seconds) == ("global", 1000, 60)
    assert table.of("GET /v1/fixes").cost == 1
    assert table.of("POST /v1/models/retrain").cost == 10


def test_the_first_row_that_matches_route_and_key_holds_and_the_built_in_one_is_last(path: Path) -> None:
    table = read(
        path,
        """
        global = { limit = 50, window_seconds = 10 }
        policies = [
          { name = "loader-reads", limit = 7, routes = ["GET /v1/fixes"], principals = ["loader"] },
          { name = "loader", limit = 900, principals = ["loader"] },
          { name = "one-key", limit = 30, keys = ["0a1b2c3d"] },
          { name = "reads", limit = 20, routes = ["GET /v1/fixes"] },
        ]
        costs = { "POST /v1/fixes/bulk" = 20, "POST /v1/models/retrain" = 2 }
        """,
    )

    def name(route: str, principal: str, key: str = "other") -> str:
        return table.of(route).policy_for(principal, key).name

    assert name("GET /v1/fixes", "loader") == "loader-reads"
    assert name("POST /v1/fixes", "loader") == "loader"
    assert name("GET /v1/fixes", "somebody", "0a1b2c3d") == "one-key"
    assert name("GET /v1/fixes", "somebody") == "reads"
    assert name("POST /v1/fixes", "somebody") == "user"
    assert name("GET /nowhere", "somebody") == "user"
    assert table.of("POST /v1/fixes/bulk").cost == 20
    assert table.of("POST /v1/models/retrain").cost == 2
    assert table.of("POST /v1/confidence/batch").cost == 5
    assert table.everybody.limit == 50


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("global = { limit = 0 }", "`int` >= 1 - at `$.global.limit`"),
        ("global = { limit = '9' }", "Expected `int`, got `str` - at `$.global.limit`"),
        ("globl = { limit = 9 }", "unknown field `globl`"),
        ("global = { limit = 9, per = 3 }", "unknown field `per` - at `$.global`"),
        ("policies = [{ limit = 9 }]", "missing required field `name` - at `$.policies[0]`"),
        ("policies = [{ name = 'A b', limit = 9 }]", "at `$.policies[0].name`"),
        ("policies = [{ name = 'global', limit = 9 }]", "the name 'global' is taken"),
        ("policies = [{ name = 'a', limit = 10 }, { name = 'a', limit = 10 }]", "the name 'a' is taken"),
        ("policies = [{ name = 'a', limit = 9, routes = ['GET /v1/fix'] }]", "no such route: 'GET /v1/fix'"),
        ("costs = { 'GET /v1/fix' = 3 }", "no such route: 'GET /v1/fix'"),
        ("costs = { 'GET /v1/fixes' = -1 }", "`int` >= 0"),
        ("costs = { 'GET /v1/fixes' = 101 }", "user: 'GET /v1/fixes' costs 101, of at most 100"),
        ("global = { limit = 4 }", "global: 'POST /v1/"),
        ("global = { limit = 100_001, window_seconds = 1 }", "global: more than 100000 a second"),
        ("global = ", "Invalid value (at end of document"),
    ],
)
def test_a_mistake_is_told_with_its_place_before_anything_starts(path: Path, text: str, said: str) -> None:
    with pytest.raises(SettingsError) as raised:
        read(path, text)
    assert str(raised.value).startswith(f"PRECEDENT_POLICIES: {path}: ")
    assert said in str(raised.value)


def test_a_file_that_is_not_there_is_told(path: Path) -> None:
    with pytest.raises(SettingsError, match="No such file"):
        read_policies(str(path), NAMES)


def test_the_ample_table_of_the_measurements_is_valid() -> None:
    assert read_policies(str(AMPLE), NAMES).of("POST /v1/fixes").policy_for("x", "y").name == "ample"


@pytest.mark.parametrize(
    ("request_", "name"),
    [
        ("GET /v1/fixes", "GET /v1/fixes"),
        ("POST /v1/fixes/bulk", "POST /v1/fixes/bulk"),
        ("POST //v1/fixes//bulk/", "POST /v1/fixes/bulk"),
        ("GET /v1/fixes/7f/", "GET /v1/fixes/{fix_id}"),
        ("POST /v1/fixes/7f/outcome", "POST /v1/fixes/{fix_id}/outcome"),
        ("GET /v1/fixes/7f/outcome", None),
        ("DELETE /v1/fixes", None),
        ("GET /v1/fixes\n", None),
        ("GET ", None),
    ],
)
def test_a_request_has_the_name_of_the_route_that_will_serve_it(request_: str, name: str | None) -> None:
    method, path = request_.split(" ", 1)
    assert RouteNames(NAMES).of(method, path) == name


DOC = (Path(__file__).parents[2] / "docs/rate-limits.md").read_text()


def block(language: str, number: int = 0) -> str:
    return DOC.split(f"```{language}\n")[1 + number].split("```")[0]


def test_the_table_in_the_documentation_is_one(path: Path) -> None:
    table = read(path, block("toml"))
    assert table.everybody.limit == 5000
    assert table.of("POST /v1/fixes/bulk").cost == 5
    assert table.of("POST /v1/models/retrain").policy_for("importer", "").name == "importer"
    assert table.of("POST /v1/models/retrain").policy_for("somebody", "").name == "retraining"
    assert table.of("GET /v1/fixes").policy_for("somebody", "3f9a12bc").name == "one-key"
    assert table.of("GET /v1/fixes").policy_for("somebody", "").name == "user"


def test_what_the_documentation_says_of_the_built_in_table_is_so() -> None:
    table = read_policies("", NAMES)
    costs = {name: table.of(name).cost for name in NAMES if table.of(name).cost != 1}
    assert costs == {"POST /v1/confidence/batch": 5, "POST /v1/models/retrain": 10}
    assert (table.failures.limit, table.failures.window_seconds) == (20, 60)
    own = table.of("GET /v1/fixes").policy_for("", "")
    verdict = LocalBuckets(1, lambda: 1000.0).take(Demand("", own, table.everybody, 7, 7))
    shown = dict(line.lower().split(": ", 1) for line in block("", 0).splitlines()[1:] if ": " in line)
    assert shown == {name.decode(): value.decode() for name, value in limit_headers(verdict)}


def test_a_gateway_with_a_mistake_in_its_table_ends_with_one_line(path: Path) -> None:
    path.write_text("global = { limit = 0 }")
    environ = {f"PRECEDENT_{name}_URL": "redis://nowhere" for name in ("NATS", "REDIS", "DATABASE")}
    environ |= {"PRECEDENT_POLICIES": str(path), "PATH": os.environ["PATH"]}
    ended = subprocess.run(
        [sys.executable, "-m", "services.gateway"], env=environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 1
    [line] = ended.stderr.splitlines()
    assert line == f"gateway: PRECEDENT_POLICIES: {path}: Expected `int` >= 1 - at `$.global.limit`"
