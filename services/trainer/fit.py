"""The fitting process: `python -m services.trainer.fit DIRECTORY` turns a job and its rows into a result.

A process of its own, so that the service goes on answering, a crash in native code costs one run, and a stop is
a signal. It says each stage on standard output and ends when its standard input does: its parent is gone then.
"""

import os
import shutil
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np

from services.trainer import booster, dataset, job
from services.trainer.calibrate import IDENTITY, calibrate
from services.trainer.dataset import Dataset, Floats
from services.trainer.domain import refusal
from services.trainer.job import Fitted, Job, Refused, Say
from services.trainer.judge import judge, read_artefact
from services.trainer.split import Split, by_time
from shared.artefacts import Artefact, encode
from shared.contracts.models import ModelKind
from shared.features.formula import FORMULA


def train(directory: Path, say: Say) -> Fitted | Refused:
    """Reads the job, fits, judges, and leaves the artefact in `directory`."""
    task = job.read_job(directory)
    data = dataset.read(directory, task.features)
    held = int(data.y.sum())
    reason = refusal(held, len(data) - held)
    if reason is not None:
        return Refused(reason=_with_cap(reason, data.capped))
    split = by_time(data.submitted_at)
    reason = one_sided(data, split)
    if reason is not None:
        return Refused(reason=reason)
    return _learn(directory, task, data, split, say)


def _with_cap(reason: str, capped: int) -> str:
    return f"{reason} ({capped} more of one reporter are over the cap)" if capped else reason


def one_sided(data: Dataset, split: Split) -> str | None:
    """Why the parts cannot do their work: the trees and the judgement each need both outcomes."""
    for name, rows in (("earliest", data.y[split.fit]), ("newest", data.y[split.evaluate])):
        if rows.min() == rows.max():
            return f"the {name} {len(rows)} fixes all {'held' if rows[0] else 'failed'}: there is nothing to tell apart"
    return None


def _learn(directory: Path, task: Job, data: Dataset, split: Split, say: Say) -> Fitted:
    say("fitting")
    base = read_artefact(directory, job.BASE).booster if task.based_on else None
    params = booster.parameters(split.fit.stop, task.seed, task.threads, task.features)
    begun = booster.raw(base, data.x[: split.calibrate.stop], task.threads)
    params = booster.search(rows_before(data, split, split.stop.stop, begun), task.features, params)
    artefact = _artefact(task, data, split, base, begun, params, say)
    sha256, encoded = encode(artefact)
    (directory / job.ARTEFACT).write_bytes(encoded)
    say("evaluating")
    metrics, verdict = judge(directory, task, data, split, artefact)
    return Fitted(
        sha256=sha256,
        rows=len(data),
        base_rate=metrics["base_rate"],
        trained_from=data.time(0),
        trained_until=data.time(split.calibrate.stop - 1),
        metrics=metrics,
        lineage=_lineage(task, data, params),
        verdict=verdict,
    )


def _artefact(
    task: Job, data: Dataset, split: Split, base: str | None, begun: Floats, params: dict[str, Any], say: Say
) -> Artefact:
    """Rows that no curve is made of teach the trees instead: they are the newest, and rates drift."""
    model = _trees(task, rows_before(data, split, split.stop.stop, begun), base, params)
    say("calibrating")
    x, y = data.part(split.calibrate)
    earlier = float(data.y[: split.stop.stop].mean())
    calibration = calibrate(booster.predict(model, x, task.threads), y, earlier)
    if calibration == IDENTITY:
        model = _trees(task, rows_before(data, split, split.calibrate.stop, begun), base, params)
    return Artefact(
        kind="confidence",
        feature_set=task.feature_set,
        features=list(task.features),
        booster=model,
        begins_at=FORMULA,
        calibration=calibration,
    )


def _trees(task: Job, rows: booster.Rows, base: str | None, params: dict[str, Any]) -> str:
    """Those of the model that ships, and on top of them those fitted on `rows`."""
    own = booster.fit(rows, task.features, params)
    return own if base is None else booster.joined(base, own, task.features)


def rows_before(data: Dataset, split: Split, end: int, begun: Floats) -> booster.Rows:
    """Those in front of `end`, weighed by their age; they begin at `begun`, the log-odds of all of them."""
    x, y = data.part(slice(0, end))
    age = (data.submitted_at[end - 1] - data.submitted_at[:end]) / np.timedelta64(1, "D")
    return booster.Rows(x, y, booster.recency(age), begun[:end], split.sizes()["stop"])


def _lineage(task: Job, data: Dataset, params: dict[str, Any]) -> dict[str, Any]:
    return {
        "data_sha256": data.sha256(),
        "data_from": data.time(0),
        "data_until": data.time(len(data) - 1),
        "rows": len(data),
        "rows_over_cap": data.capped,
        "parameters": params,
        "half_life_days": booster.HALF_LIFE_DAYS,
        "based_on": task.based_on,
        "seed": task.seed,
        "feature_set": task.feature_set,
        "formula": FORMULA,
        "code_version": task.code_version,
        "lightgbm_version": lightgbm.__version__,
    }


def _end_with_parent(directory: Path, gone: threading.Event) -> None:
    """The parent holds the other end of standard input and never writes to it."""
    os.read(0, 1)  # not sys.stdin: its lock, held here for ever, aborts the interpreter when it ends
    gone.set()
    # Under another name first: what the fit still writes goes nowhere, and cannot keep the directory from going.
    try:
        shutil.rmtree(directory.rename(directory.with_name(f"{directory.name}-left")), ignore_errors=True)
    finally:
        os._exit(1)


def _say(stage: str) -> None:
    sys.stdout.write(f"{stage}\n")
    sys.stdout.flush()


def learner(kind: ModelKind) -> Callable[[Path, Say], Fitted | Refused]:
    if kind == "confidence":
        return train
    from services.trainer import category_learn  # with scipy's optimizers, whose import is a third of the start

    return category_learn.train


def main(directory: Path) -> None:
    gone = threading.Event()
    watch = threading.Thread(target=_end_with_parent, args=(directory, gone), daemon=True)
    watch.start()
    try:
        job.write(directory, job.RESULT, learner(job.read_job(directory).kind)(directory, _say))
    finally:
        if gone.is_set():  # the fit failed for want of its files; the sweeping must not end with it
            watch.join()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
