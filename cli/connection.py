"""Where the platform is and who is asking."""

from dataclasses import dataclass
from pathlib import Path

import click

from cli.client import Api

DEFAULT_URL = "http://127.0.0.1:8080"


@dataclass(frozen=True)
class Connection:
    url: str
    home: Path
    key: str | None = None

    def api(self, key: str | None = None) -> Api:
        """With the given key, else the caller's. Raises `UsageError` when there is none."""
        return Api(self.url, key or self.key or self.key_file("api-key"))

    def key_file(self, name: str) -> str:
        """A key that `make run` left in its home."""
        path = self.home / name
        if path.exists():
            return path.read_text().strip()
        raise click.UsageError(f"no key: give --key or PRECEDENT_KEY; `make run` writes one to {path}")
