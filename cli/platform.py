"""Where the local platform is, from the file that `make run` writes."""

import json
import os
from pathlib import Path
from typing import Any


def home() -> Path:
    return Path(os.environ.get("PRECEDENT_HOME", ".local"))


def platform_urls() -> dict[str, Any]:
    """`database_url`, `nats_url`, `redis_url`, `gateway_url` …; empty when no platform was started here."""
    path = home() / "platform.json"
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    return found
