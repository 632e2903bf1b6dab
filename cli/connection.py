"""Where the platform is and who is asking."""

from dataclasses import dataclass

import click

from cli.client import Api
from cli.platform import home, platform_urls

DEFAULT_URL = "http://127.0.0.1:8080"


@dataclass(frozen=True)
class Connection:
    """`url` and `key` as given; what is not given is read from the home of the local platform."""

    url: str | None = None
    key: str | None = None

    def api(self, key: str | None = None) -> Api:
        """With the given key, else the caller's. Raises `UsageError` when there is none."""
        url = self.url or platform_urls().get("gateway_url") or DEFAULT_URL
        return Api(url.rstrip("/"), key or self.key or local_key("api-key"))


def local_key(name: str) -> str:
    """A key that `make run` left in its home."""
    path = home() / name
    if not path.exists():
        raise click.UsageError(f"no key: give --key or PRECEDENT_KEY; `make run` writes one to {path}")
    return path.read_text().strip()
