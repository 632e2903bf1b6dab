"""The `precedent` command."""

import click

from cli import dead, demo, docs, import_git, keys, score, train
from cli.connection import DEFAULT_URL, Connection

COMMANDS = (import_git.command, score.command, train.command, demo.command, docs.docs, keys.keys, dead.dead)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--url", envvar="PRECEDENT_URL", help=f"Default: the platform started here, or {DEFAULT_URL}.")
@click.option("--key", envvar="PRECEDENT_KEY", help="The API key; default: the one that `make run` wrote.")
@click.version_option(package_name="precedent")
@click.pass_context
def main(context: click.Context, url: str | None, key: str | None) -> None:
    """Judge proposed fixes by precedent."""
    context.obj = Connection(url, key)


for command in COMMANDS:
    main.add_command(command)
