"""What happens when the code is only imported: nothing."""

import json
import subprocess
import sys
import tomllib
from typing import Any

import pytest

from tests.architecture.source import ROOMS, ROOT, files

MODULES = [f.removesuffix(".py").replace("/", ".").removesuffix(".__init__") for f in files(*ROOMS)]

# Runs in a process of its own: what is imported there was not imported before. Third-party code may read its own
# variables; ours reads none, and nobody opens a socket, starts a process or a thread, or registers a metric.
TRAPPED = """
import importlib, json, os, sys, threading

root, modules = sys.argv[1], sys.argv[2:]
seen = []

class Environment(type(os.environ)):
    def __getitem__(self, name):
        frame = sys._getframe(1)
        while frame.f_code.co_filename == os.__file__ or "_collections_abc" in frame.f_code.co_filename:
            frame = frame.f_back
        file = frame.f_code.co_filename
        if file.startswith(root) and ".venv" not in file:
            seen.append(f"{file} read {name}")
        return super().__getitem__(name)

def heard(event, args):
    if event in ("socket.__new__", "socket.connect", "socket.bind", "subprocess.Popen", "os.fork"):
        seen.append(f"{event} in {current}")

current = None
os.environ.__class__ = Environment
sys.addaudithook(heard)
for current in modules:
    importlib.import_module(current)
if threading.active_count() > 1:
    seen.append(f"threads: {threading.enumerate()}")

from prometheus_client import REGISTRY
own = ("prometheus_client.gc_collector", "prometheus_client.platform_collector", "prometheus_client.process_collector")
seen += [f"{c} is registered" for c in REGISTRY._collector_to_names if type(c).__module__ not in own]
print(json.dumps(seen))
"""
# Wires a service twice, and says what was opened meanwhile and which modules are there afterwards.
WIRED = """
import importlib, json, sys
opened = []
sys.addaudithook(lambda event, args: opened.append(event) if event.startswith(("socket.", "subprocess.")) else None)
app = importlib.import_module(f"services.{sys.argv[1]}.app")
urls = dict(nats_url="nats://127.0.0.1:1", database_url="postgresql://n@127.0.0.1:1/n", redis_url="redis://127.0.0.1:1")
module = importlib.import_module(f"services.{sys.argv[1]}.settings")
settings = getattr(module, f"{sys.argv[1].title()}Settings")(**urls)
assert app.create_app(settings) is not app.create_app(settings)
print(json.dumps({"opened": opened, "modules": sorted(sys.modules)}))
"""


def fresh(code: str, *arguments: str) -> Any:
    """What `code` prints as JSON, run by an interpreter of its own."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_importing_reads_no_environment_connects_nothing_and_registers_nothing() -> None:
    assert fresh(TRAPPED, str(ROOT), *MODULES) == []


@pytest.mark.parametrize(
    ("service", "absent"),
    [
        ("gateway", {"lightgbm", "polars", "numpy"}),
        ("scoring", {"litestar", "polars"}),
        ("patterns", {"litestar", "lightgbm", "polars"}),
        ("trainer", {"litestar"}),
    ],
)
def test_wiring_connects_nothing_loads_only_what_is_needed_and_can_be_done_twice(
    service: str, absent: set[str]
) -> None:
    wired = fresh(WIRED, service)
    assert wired["opened"] == []
    assert absent & set(wired["modules"]) == set()


LOCK: dict[str, Any] = tomllib.loads((ROOT / "uv.lock").read_text())


def test_the_lock_names_no_host_but_pypis_own() -> None:
    """A mirror in somebody's environment would otherwise be everybody's."""
    files = [f["url"] for p in LOCK["package"] for f in (*p.get("wheels", ()), *([p["sdist"]] if "sdist" in p else ()))]
    registries = [p["source"]["registry"] for p in LOCK["package"] if "registry" in p["source"]]
    assert {url.split("/")[2] for url in files} == {"files.pythonhosted.org"}
    assert set(registries) == {"https://pypi.org/simple"}


def test_everything_locked_comes_from_the_registry_or_from_here() -> None:
    elsewhere = [p["name"] for p in LOCK["package"] if not set(p["source"]) <= {"registry", "editable"}]
    assert elsewhere == []


def test_no_image_carries_pandas_or_scikit_learn() -> None:
    """Beside them, importing lightgbm takes three seconds."""
    assert not {p["name"] for p in LOCK["package"]} & {"pandas", "scikit-learn", "joblib"}
