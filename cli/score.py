"""`precedent score`: how likely a change is to hold, without storing it."""

import json
from typing import IO, Any

import click

from cli.agents import HUMAN
from cli.connection import Connection
from shared.diffs import DiffError, parse
from shared.features.change import change_features
from shared.features.history import touched_paths

CONTRIBUTIONS_SHOWN = 10


def measured(diff: str, *, with_paths: bool) -> dict[str, Any]:
    """What the server would make of the diff, made here."""
    try:
        parsed = parse(diff)
    except DiffError as error:
        raise click.UsageError(f"the diff cannot be read: {error}") from error
    found: dict[str, Any] = {"features": change_features(parsed)}
    return found | {"paths": touched_paths(parsed)} if with_paths else found


def described(answer: dict[str, Any]) -> list[str]:
    """The answer for people: the number, where it comes from, what to do, and what it rests on."""
    source = answer["model_version"] or answer["source"]
    lines = [f"{answer['confidence']:.1%} likely to hold for 30 days, says {source}; decision: {answer['decision']}"]
    if answer["source"] == "formula":
        lines.append("There is no trained model behind this number: import a history and run `precedent train`.")
    if answer["low_evidence"]:
        lines.append(f"Little is known of this author, agent and repository: {answer['evidence']} earlier changes.")
    if "contributions" in answer:
        lines += ["", f"log-odds before calibration, starting at {answer['base_value']:+.2f}:"]
        lines += [_contribution(entry) for entry in _weightiest(answer["contributions"])]
    return lines


def _weightiest(contributions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(contributions, key=lambda entry: -abs(entry["effect"]))[:CONTRIBUTIONS_SHOWN]


def _contribution(entry: dict[str, Any]) -> str:
    value = "unknown" if entry["value"] is None else f"{entry['value']:g}"
    return f"  {entry['effect']:+.3f}  {entry['feature']} = {value}"


@click.command("score")
@click.option("--diff", type=click.File(encoding="utf-8", errors="replace"), default="-", show_default=True,
              help="A unified diff, - for standard input.")  # fmt: skip
@click.option("--repository", required=True, help="The name it was imported under.")
@click.option("--agent", "agent_id", default=HUMAN, show_default=True, help="Who made the change.")
@click.option("--author", help="The author's name, as in the history.")
@click.option("--fix-type", help="Such as fix, feat or refactor.")
@click.option("--features-only", is_flag=True, help="Measure the diff here; send numbers and file names, no code.")
@click.option("--no-paths", is_flag=True, help="With --features-only: no file names either, and so not their past.")
@click.option("--explain", is_flag=True, help="What moved the number.")
@click.option("--json", "raw", is_flag=True, help="The answer as the API gives it.")
@click.pass_obj
def command(
    connection: Connection, /, diff: IO[str], features_only: bool, no_paths: bool, explain: bool, raw: bool,
    **candidate: str | None,
) -> None:  # fmt: skip
    """Score a diff without storing it: git diff | precedent score --repository owner/name"""
    if no_paths and not features_only:
        raise click.UsageError("--no-paths goes with --features-only")
    change = measured(diff.read(), with_paths=not no_paths) if features_only else {"diff": diff.read()}
    body = {**change, **{name: value for name, value in candidate.items() if value is not None}}
    with connection.api() as api:
        answer = api.request("POST", "/v1/confidence", json=body, params={"explain": "true"} if explain else {})
    click.echo(json.dumps(answer, indent=2) if raw else "\n".join(described(answer)))
