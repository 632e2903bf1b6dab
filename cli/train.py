"""`precedent train`: ask for a model, and see what became of it."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import click

from cli.client import Api, ApiError
from cli.connection import Connection
from shared.contracts.models import ModelKind

# Sixty a minute, so that waiting stays below the limit of a user.
POLL_SECONDS = 1.0
OFFLINE = "services.trainer.offline"
# Metrics that are read against a constant predictor, in the order they are shown.
METRICS = {"auc": "0.5 is chance", "brier_skill": "0 is the base rate", "accuracy": "read beside the base rate",
           "ece": "0 is perfectly calibrated", "log_loss": "lower is better", "macro_f1": "1 is perfect"}  # fmt: skip


def on_files(data: Path, out: str) -> int:
    """The exit code. A process of its own: the command line carries no numeric library."""
    return subprocess.run([sys.executable, "-m", OFFLINE, "train", "--data", str(data), "--out", out]).returncode


def retrain(api: Api, kind: str, reason: str | None) -> str:
    """The id of the run."""
    body = {"kind": kind, **({"reason": reason} if reason else {})}
    return str(api.post("/v1/models/retrain", body)["run_id"])


def progress(
    api: Api, run_id: str, seconds: float, clock: Callable[[], float] = time.monotonic
) -> Iterator[dict[str, Any]]:
    """The run each time its state has changed, until it ends or `seconds` are over; the last one may be unfinished."""
    deadline, told = clock() + seconds, None
    while True:
        run = _run(api, run_id)
        # Somebody had asked before: theirs is the run that counts.
        run_id = run.get("joined_run_id") or run_id
        if (state := (run["status"], run.get("progress"))) != told:
            told = state
            yield run
        if run["status"] in ("succeeded", "failed") or clock() > deadline:
            return
        api.sleep(POLL_SECONDS)


def _run(api: Api, run_id: str) -> dict[str, Any]:
    """A run that was accepted a moment ago may not be readable yet: it is queued."""
    try:
        return dict(api.get(f"/v1/training-runs/{run_id}"))
    except ApiError as error:
        if error.status != 404:
            raise
        return {"run_id": run_id, "status": "queued"}


def model_lines(model: dict[str, Any]) -> list[str]:
    """What the model is worth, beside what a constant would reach."""
    base = f"{model['base_rate']:.3f}" if model.get("base_rate") is not None else "not known"
    lines = [f"{model['version']} is {model['status']}: {model['rows']:,} rows, base rate {base}"]
    metrics = model.get("metrics") or {}
    shown = [name for name in METRICS if isinstance(metrics.get(name), int | float)]
    return lines + [f"  {name:>12} {metrics[name]:.3f}  ({METRICS[name]})" for name in shown]


@click.command("train")
@click.option("--kind", type=click.Choice(get_args(ModelKind)), default="confidence", show_default=True)
@click.option("--reason", help="Kept with the run.")
@click.option("--wait/--no-wait", default=True, show_default=True, help="Until the run has ended.")
@click.option("--timeout", default=600.0, show_default=True, help="Longest wait in seconds.")
@click.option("--json", "raw", is_flag=True, help="The run as the API gives it.")
@click.option("--data", type=click.Path(path_type=Path), help="Labelled histories: train on those files alone, here.")
@click.option("--out", type=click.Path(path_type=Path), help="With --data: the directory for the model.")
@click.pass_obj
def command(
    connection: Connection, kind: str, reason: str | None, wait: bool, timeout: float, raw: bool,
    data: Path | None, out: Path | None,
) -> None:  # fmt: skip
    """Train a model from all fixes whose outcome is known; it is promoted if it is better.

    With --data and --out no server is asked: the model of those files is left in a directory.
    """
    if (data is None) != (out is None):
        raise click.UsageError("--data and --out go together")
    if data is not None:
        raise click.exceptions.Exit(on_files(data, str(out)))
    with connection.api() as api:
        run_id = retrain(api, kind, reason)
        run: dict[str, Any] = {"run_id": run_id, "status": "queued"}
        click.echo(f"run {run_id}", err=raw)
        for run in progress(api, run_id, timeout) if wait else ():
            click.echo(f"  {run['status']} {run.get('progress') or 0:.0%}", err=raw)
        told = [json.dumps(run, indent=2)] if raw else ended_lines(api, run)
    click.echo("\n".join(told))
    if run["status"] == "failed" or (wait and run["status"] != "succeeded"):
        raise click.exceptions.Exit(1)


def ended_lines(api: Api, run: dict[str, Any]) -> list[str]:
    """The model of a run that succeeded, the reason of one that did not."""
    if run["status"] == "succeeded" and run.get("model_version"):
        reason = [f"  {run['reason']}"] if run.get("reason") else []
        return model_lines(api.get(f"/v1/models/{run['model_version']}")) + reason
    return [f"{run['status']}: {run.get('reason') or 'no reason given'}"]
