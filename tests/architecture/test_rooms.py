"""What lies where."""

import re
import tomllib
from pathlib import PurePath
from typing import Any

import pytest

from tests.architecture.source import ROOMS, ROOT, SERVICES, files, imports

PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
CONTRACTS = PYPROJECT["tool"]["importlinter"]["contracts"]
ALL = files(*ROOMS, "tests", "benchmarks", "loadtests")

# The gateway has routes for handlers, and queries for a store: it writes nothing.
HOUSE = {service: {"__init__", "__main__", "app", "handlers", "metrics", "settings", "store"} for service in SERVICES}
HOUSE["gateway"] = {"__init__", "__main__", "app", "metrics", "queries", "settings"}
FOLDERS = {"gateway": {"console", "routes"}, "trainer": {"default_model"}}

# Who may look at the environment, and why it is not `__main__` alone.
ENVIRONMENT = {
    "cli/checkout.py": "git is given it without what speaks of another repository",
    "cli/platform.py": "the command has many entries, and one place that knows the platform's home",
    "deploy/local/prepare.py": "a process of its own, run once with `python -m`",
}


def test_no_file_is_called_by_a_name_that_says_nothing() -> None:
    assert not {PurePath(f).stem for f in ALL} & {"utils", "util", "helpers", "common", "base", "misc"}


def test_no_folder_is_deeper_than_three() -> None:
    assert [f for f in ALL if len(PurePath(f).parent.parts) > 3] == []


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_is_flat(service: str) -> None:
    folders = {p.name for p in (ROOT / "services" / service).iterdir() if p.is_dir() and p.name != "__pycache__"}
    assert folders <= FOLDERS.get(service, set())


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_uses_the_file_names_of_the_house(service: str) -> None:
    assert {p.stem for p in (ROOT / "services" / service).glob("*.py")} >= HOUSE[service]


@pytest.mark.parametrize("service", SERVICES)
def test_every_other_module_of_a_service_is_declared_in_its_layers(service: str) -> None:
    """import-linter then says which modules are missing; this keeps anyone from leaving the list open."""
    [layers] = [c for c in CONTRACTS if c.get("containers") == [f"services.{service}"]]
    assert layers["exhaustive"] is True
    assert layers["type"] == "layers"


@pytest.mark.parametrize("service", SERVICES)
def test_what_is_called_domain_is_declared_pure(service: str) -> None:
    [pure] = [c for c in CONTRACTS if c["name"].startswith("What decides is pure")]
    if (ROOT / "services" / service / "domain.py").exists():
        assert f"services.{service}.domain" in pure["source_modules"]


@pytest.mark.parametrize("service", SERVICES)
def test_each_service_has_a_dependency_group(service: str) -> None:
    assert PYPROJECT["dependency-groups"][service]


def test_the_environment_is_read_in_main_alone() -> None:
    reads = re.compile(r"\bos\.(environ|getenv)|^from os import", re.M)
    readers = {f for f in files(*ROOMS) if reads.search((ROOT / f).read_text())}
    assert {f for f in readers if PurePath(f).name != "__main__.py"} == set(ENVIRONMENT)


def test_nothing_is_stored_in_a_format_that_can_be_executed() -> None:
    """A model file comes from a store that others may write to."""
    executable = {"pickle", "cPickle", "joblib", "dill", "cloudpickle", "marshal", "shelve"}
    assert importing(executable, *ROOMS, "benchmarks", "tests") == set()
    assert [f for f in files(*ROOMS) if re.search("allow_pickle(?!=False)", (ROOT / f).read_text())] == []


def test_the_command_reaches_stores_only_where_operators_stand_beside_them() -> None:
    """For everything else it is an HTTP client like any other."""
    assert importing({"asyncpg", "nats", "faststream", "redis"}, "cli") <= {"cli/keys.py", "cli/dead.py"}


def importing(packages: set[str], *rooms: str) -> set[str]:
    return {file for file in files(*rooms) if packages & {name.split(".")[0] for name in imports(file)}}
