"""`precedent docs`: documents made from what the deployment knows."""

from pathlib import Path

import click

from cli.connection import Connection


@click.group("docs")
def docs() -> None:
    """Documents made from what the fleet has learned."""


@docs.command("learnings")
@click.option("--domain", help="Only this one.")
@click.option("--output", type=click.Path(dir_okay=False, writable=True, path_type=Path), help="Default: the terminal.")
@click.pass_obj
def learnings(connection: Connection, domain: str | None, output: Path | None) -> None:
    """The handbook, in Markdown: a section a domain, with how each learning and pattern fared."""
    with connection.api() as api:
        text = api.text("/v1/learnings/handbook", **({"domain": domain} if domain else {}))
    if output is None:
        click.echo(text, nl=False)
    else:
        output.write_text(text, encoding="utf-8")
