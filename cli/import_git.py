"""`precedent import git`: the history of a repository, with what became of each change."""

import re
import time
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import msgspec

from cli import checkout, git_log
from cli.bodies import BulkLine
from cli.bulk import LineAnswer, deliver, slices
from cli.client import Api
from cli.connection import Connection
from cli.history import fixes
from cli.progress import shown
from cli.report import Report
from cli.settle import settled

# After the last line is accepted; scoring follows the import closely.
SCORED_WITHIN_SECONDS = 600


def send(api: Api, lines: Iterable[BulkLine], report: Report) -> Iterator[LineAnswer]:
    """Delivers in order, one slice after the other."""
    for encoded in slices(map(msgspec.json.encode, lines)):
        for answer in deliver(api, encoded):
            report.note_answer(answer)
            yield answer


def import_history(
    path: Path,
    api: Api | None,
    *,
    repository: str | None = None,
    branch: str | None = None,
    since: str | None = None,
    limit: int | None = None,
    as_of: datetime | None = None,
    others: re.Pattern[str] | None = None,
) -> Report:
    """Sends the history at `path` to `api` and waits until it is scored; without one it only reads it.

    Raises `GitError`, `ApiError`, `Unreachable`.

    `as_of` is the time up to which the checkout is known to be complete.
    """
    revision = checkout.branch(path, branch)
    selected = git_log.selection(path, since, limit)
    until = as_of or checkout.observed_until(path, revision, datetime.now(UTC))
    report = Report()
    report.left_out["commits that a shallow clone begins with (git fetch --unshallow)"] = len(checkout.cut_off(path))
    commits = git_log.read(path, revision, selected)
    name = repository or checkout.name_of(path)
    found = fixes(commits, name, report, until, git_log.Branch(path, revision), others)
    total = git_log.count(path, revision, selected)
    for _ in shown(send(api, found, report) if api else found, total, "importing" if api else "reading"):
        pass
    if api and report.last_accepted:
        settled(api, report.last_accepted, SCORED_WITHIN_SECONDS)
    return report


def pattern(_: click.Context, __: click.Parameter, text: str | None) -> re.Pattern[str] | None:
    try:
        return re.compile(text, re.I) if text else None
    except re.error as error:
        raise click.BadParameter(f"not a regular expression: {error}") from error


@click.group("import")
def command() -> None:
    """Bring in what already happened."""


@command.command("git")
@click.argument("path", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--repository", help="Its name here; default: owner/name of the origin remote, else the directory's name."
)
@click.option("--branch", help="Default: origin's head, else main, master, or what is checked out.")
@click.option("--since", help="Only commits of this date or later, as git understands dates. When importing again, "
              "go back at least 30 days, so that what happened to earlier fixes is reported too.")  # fmt: skip
@click.option("--limit", type=click.IntRange(min=1), help="Only the newest N commits.")
@click.option("--as-of", type=click.DateTime(["%Y-%m-%d"]), help="The checkout is complete up to this day (UTC); "
              "default: its last fetch, or now without an origin.")  # fmt: skip
@click.option("--agents-pattern", "others", callback=pattern, help="Finds further agents in 'name <email>' of authors "
              "and co-authors; the group 'agent', or the match, is the agent's id.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Read and judge, send nothing.")
@click.pass_obj
def import_git(connection: Connection, /, path: Path, dry_run: bool, as_of: datetime | None, **options: Any) -> None:
    """Import the commits of PATH as fixes, with their outcomes: reverted, fixed again within 30 days, or held.

    Can be repeated and interrupted: a commit is known by its sha, and a later run tells what has happened since.
    """
    started = time.monotonic()
    known = as_of.replace(tzinfo=UTC) if as_of else None
    if known and known > datetime.now(UTC):
        raise click.BadParameter("lies in the future", param_hint="--as-of")
    with nullcontext() if dry_run else connection.api() as api:
        report = import_history(path, api, as_of=known, **options)
    seconds = time.monotonic() - started
    for line in report.lines():
        click.echo(line)
    done = report.agents.total()
    click.echo(f"{done:,} commits in {seconds:.1f} s ({done / seconds:,.0f} a second)")
    if report.all_refused:
        raise click.exceptions.Exit(1)
