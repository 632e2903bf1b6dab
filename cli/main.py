"""The `precedent` command."""

from pathlib import Path

import click

from cli import import_git, score, train
from cli.connection import DEFAULT_URL, Connection


@click.group(context_settings={"auto_envvar_prefix": "PRECEDENT", "help_option_names": ["-h", "--help"]})
@click.option("--url", envvar="PRECEDENT_URL", default=DEFAULT_URL, show_default=True, help="The gateway.")
@click.option("--key", envvar="PRECEDENT_KEY", help="The API key; default: the one that `make run` wrote.")
@click.option("--home", envvar="PRECEDENT_HOME", default=".local", show_default=True, type=click.Path(path_type=Path),
              help="Where `make run` keeps its state.")  # fmt: skip
@click.version_option(package_name="precedent")
@click.pass_context
def main(context: click.Context, url: str, key: str | None, home: Path) -> None:
    """Judge proposed fixes by precedent."""
    context.obj = Connection(url.rstrip("/"), home, key)


for command in (import_git.command, score.command, train.command):
    main.add_command(command)
