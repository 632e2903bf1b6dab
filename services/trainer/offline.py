"""Training and evaluation on files, without any server: `python -m services.trainer.offline train|eval --data PATH`."""

import argparse
import hashlib
import sys
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

import lightgbm
import msgspec
import numpy as np

from services.trainer import booster, crossval, evaluate, job, labelled, report, shipped
from services.trainer.calibrate import apply
from services.trainer.dataset import Floats
from services.trainer.domain import Verdict, refusal
from services.trainer.job import Fitted
from services.trainer.labelled import Labelled, LabelledError
from shared.artefacts import Artefact, encode
from shared.features.formula import FORMULA
from shared.features.vector import FEATURE_SET, FEATURES
from shared.predictor import Predictor

CHECKED_ROWS = 200


class RefusedError(ValueError):
    """Says why no model comes of these rows."""


def train(data: Labelled, out: Path) -> Fitted:
    """Leaves the model in `out`: its artefact, and what is known of it. The same data give the same bytes."""
    held = int(data.y.sum())
    reason = refusal(held, len(data) - held)
    if reason is None and len(data.repositories()) < 2:
        reason = "all changes are of one repository: nothing tells how the model does on another one"
    if reason is not None:
        raise RefusedError(reason)
    parts = list(crossval.leave_repositories_out(data, crossval.of_model))
    answers, calibration = crossval.gathered(data, parts)
    artefact = Artefact(
        kind="confidence",
        feature_set=FEATURE_SET,
        features=list(FEATURES),
        booster=shipped.trees(data, np.ones(len(data), bool)),
        begins_at=FORMULA,
        calibration=calibration,
    )
    fitted = _fitted(data, artefact, answers[crossval.MODEL])
    _check(artefact, data)
    out.mkdir(parents=True, exist_ok=True)
    (out / job.ARTEFACT).write_bytes(encode(artefact)[1])
    (out / job.RESULT).write_bytes(msgspec.json.format(msgspec.json.encode(fitted), indent=1) + b"\n")
    return fitted


def _fitted(data: Labelled, artefact: Artefact, p: Floats) -> Fitted:
    times = data.submitted_at.astype("datetime64[s]")
    return Fitted(
        sha256=encode(artefact)[0],
        rows=len(data),
        base_rate=float(data.y.mean()),
        trained_from=times.min().item(),
        trained_until=times.max().item(),
        metrics={
            **msgspec.to_builtins(evaluate.scores(p, data.y)),
            "reliability": msgspec.to_builtins(evaluate.reliability(p, data.y)),
            "notes": ["measured on repositories left out of the fit, ten folds; no type declared, no signals"],
        },
        lineage=_lineage(data),
        verdict=Verdict(False, "fitted on files"),
    )


def _lineage(data: Labelled) -> dict[str, Any]:
    digest = hashlib.sha256(data.submitted_at.astype(np.int64).tobytes() + data.y.tobytes())
    digest.update(np.ascontiguousarray(data.x).data)
    return {
        "repositories": {name: int((data.repository == name).sum()) for name in data.repositories()},
        "data_sha256": digest.hexdigest(),
        "parameters": shipped.PARAMETERS | {"rounds": shipped.ROUNDS},
        "seed": shipped.SEED,
        "feature_set": FEATURE_SET,
        "formula": FORMULA,
        "code_version": installed("precedent"),
        "lightgbm_version": lightgbm.__version__,
    }


def put_part(out: Path, text: str) -> None:
    """All in front of the mark; what `make eval-memory` wrote behind it stays."""
    _, mark, kept = (out.read_text() if out.exists() else "").partition(report.MEMORY)
    out.write_text(f"{text.rstrip()}\n" + (f"\n{mark}{kept}" if mark else ""))


def _check(artefact: Artefact, data: Labelled) -> None:
    """What will be served answers as what was measured did."""
    predictor, x = Predictor(artefact), data.x[:CHECKED_ROWS]
    served = [predictor(row) for row in x.tolist()]
    measured = apply(artefact.calibration, booster.predict(artefact.booster, x, shipped.THREADS))
    if not np.allclose(served, measured, atol=1e-9):
        raise RefusedError("the model does not answer in serving as it did in training")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="precedent train", description=__doc__)
    parser.add_argument("command", choices=("train", "eval"))
    parser.add_argument("--data", type=Path, required=True, help="a labelled history, or a directory of them")
    parser.add_argument("--out", type=Path, required=True, help="train: a directory; eval: the report")
    asked = parser.parse_args(arguments)
    try:
        data = labelled.read(asked.data)
        sys.stdout.write(f"{len(data):,} changes of {len(data.repositories())} repositories\n")
        if asked.command == "train":
            fitted = train(data, asked.out)
            told = f"{asked.out}: AUC {fitted.metrics['auc']:.3f}, sha256 {fitted.sha256}"
        else:
            put_part(asked.out, report.written(data))
            told = str(asked.out)
    except (LabelledError, RefusedError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{told}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
