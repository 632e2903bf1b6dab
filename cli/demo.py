"""`precedent demo`: a repository's history, a model from it, and a small fleet at work."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from cli import checkout, git_log
from cli.bodies import BulkLine
from cli.client import Api
from cli.connection import Connection
from cli.demo_fleet import Fleet, Played, chosen
from cli.history import fixes
from cli.import_git import import_history
from cli.platform import platform_urls
from cli.report import Report
from cli.train import ended_lines, progress, retrain

TRAINING_SECONDS = 600
# Where the played changes are looked for, in commits.
RECENT = 500
REAL, PLAY = click.style("real", fg="green"), click.style("play", fg="yellow")


def heading(text: str) -> None:
    click.echo(f"\n{click.style(text, bold=True)}")


def said(origin: str, text: str) -> None:
    click.echo(f"  {origin}  {text}")


def recent(path: Path, repository: str) -> list[BulkLine]:
    """The newest changes with what is known of them."""
    revision = checkout.branch(path)
    commits = git_log.read(path, revision, git_log.selection(path, None, RECENT))
    until = checkout.observed_until(path, revision, datetime.now(UTC))
    return list(fixes(commits, repository, Report(), until, git_log.Branch(path, revision)))


def trained(api: Api) -> None:
    """Asks for a model and tells how it went; a history that is too short for one is no error here."""
    run: dict[str, Any] = {}
    for run in progress(api, retrain(api, "confidence", "demo"), TRAINING_SECONDS):
        said(REAL, f"{run['status']} {run.get('progress') or 0:.0%}")
    for line in ended_lines(api, run):
        said(REAL, line)
    champions = [m["version"] for m in api.get("/v1/models", kind="confidence")["items"] if m["status"] == "champion"]
    if champions != [run.get("model_version")]:
        answers = champions[0] if champions else "the formula"
        said(REAL, f"No model of its own is better yet: {answers} answers below; a longer history (REPO=path) helps.")


def answer_lines(played: Played) -> Iterator[str]:
    """What Precedent said, as far as it is known yet."""
    fix = played.fix
    if fix.get("confidence") is None:
        yield f"{played.agent_id}: {fix['status']}, no number yet {fix.get('status_reason') or ''}".rstrip()
        return
    yield (
        f"{played.agent_id}: {fix['confidence']:.1%} by {fix['model_version'] or 'the ' + fix['source']} → "
        f"{fix['decision']}; {fix['category'] or 'not categorized yet'}"
    )
    notes = {"pattern": fix.get("pattern_id"), "same as": fix.get("duplicate_of")}
    told = [f"{name} {value}" for name, value in notes.items() if value]
    told += [f"precedent: {related['title']} ({related['similarity']:.2f})" for related in fix.get("related") or ()]
    yield from (f"    {note}" for note in told)


def change_line(change: BulkLine) -> str:
    return f"{change.external_id[:10]} {change.title} ({len(change.diff):,} characters)"


def play(fleet: Fleet, changes: list[BulkLine]) -> None:
    heading("3. Three agents, each with its own key, hand in changes of that history as if they were new")
    rounds = []
    for played in fleet.submit_all(changes):
        said(REAL, change_line(played.change))
        for line in answer_lines(played):
            said(PLAY, line)
        rounds.append(played)
    heading("4. Another principal tells what became of them")
    for played in rounds:
        said(REAL, f"{played.change.external_id[:10]} {fleet.report(played)}")
    remember(fleet, rounds)
    decide(fleet, rounds[-1])


def remember(fleet: Fleet, rounds: list[Played]) -> None:
    """One agent writes a learning; the next one meets the same place, cites it, and its outcome counts for it."""
    heading("5. What one agent learned serves the next")
    teacher = next((p for p in rounds if p.change.outcome and p.change.outcome.kind != "held"), rounds[0])
    pupil = next(p.agent_id for p in reversed(rounds) if p.agent_id != teacher.agent_id or len(rounds) == 1)
    learning = fleet.learn(teacher)
    said(PLAY, f"{teacher.agent_id} wrote: {learning['title']} ({learning['status']})")
    again = fleet.submit(pupil, teacher.change, [learning["id"]])
    for line in answer_lines(again):
        said(PLAY, line)
    fleet.report(again)
    after = fleet.used(learning["id"])
    said(PLAY, f"the learning was cited {after['uses']} time(s), {after['successes']} of them held")


def decide(fleet: Fleet, played: Played) -> None:
    """Each agent sees only how many have voted, until the votes decide."""
    heading("6. What they are not sure of they decide together")
    ended = fleet.work_out(played)
    said(PLAY, f"{ended['title']}: {ended['status']} by {ended['votes_cast']} votes")
    said(PLAY, "what they accepted is a learning of all now; `precedent docs learnings` shows what was learned")


@click.command("demo")
@click.option("--repository-path", "path", default=".", show_default=True, help="A git repository.",
              type=click.Path(exists=True, file_okay=False, path_type=Path))  # fmt: skip
@click.option("--changes", default=6, show_default=True, type=click.IntRange(1, 30), help="How many are handed in.")
@click.pass_obj
def command(connection: Connection, path: Path, changes: int) -> None:
    """With the platform up (make run): import a history, train, and play a small fleet of agents."""
    database_url = platform_urls().get("database_url")
    if database_url is None:
        raise click.UsageError("no platform was started here: run `make run` in another terminal first")
    repository = checkout.name_of(path)
    with connection.api() as api:
        heading(f"1. The history of {repository}, and what became of each change")
        for line in import_history(path, api, repository=repository).lines():
            said(REAL, line)
        heading("2. A model from the outcomes that are known")
        trained(api)
    # A repository of its own, so that play adds nothing to what is known of the real one.
    play(Fleet(connection, database_url, f"demo/{repository}"), chosen(recent(path, repository), changes))
    click.echo(f"\n{REAL}: from the history of {repository}. {PLAY}: who submits, when, and what follows from it.")
