"""Measures categories and related changes on labelled histories: `python -m benchmarks.evaluate_memory DATA OUT`.

DATA is a directory with `train.jsonl.gz`, or that file. The two sections are put into OUT, a Markdown file, in place of
those of an earlier run. Repositories are left out whole; intervals are of 95 %, over repositories drawn with
replacement; gains are over the plain baseline on the same rows.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks import related_changes
from benchmarks.category_quality import auc, decided_elsewhere
from benchmarks.fit_categories import OFFSETS, Rows, both_cross_fitted, folds, plain_cross_fitted, read
from shared.categories.model import CATEGORIES, SECURITY

DRAWS = 1000
N = len(CATEGORIES)
KINDS = {"without_title": "diff alone", "with_title": "with title"}

Measure = Callable[[np.ndarray], float]


def evaluate_categories(data: Path) -> str:
    rows = read(data)
    return "\n\n".join(
        category_table(rows, kind, both_cross_fitted(rows, kind), plain_cross_fitted(rows, kind)) for kind in KINDS
    )


def category_table(rows: Rows, kind: str, fitted: np.ndarray, plain: np.ndarray) -> str:
    labels, repositories = rows.labels, rows.repositories
    decided, _ = decided_elsewhere(fitted, labels, folds(repositories), OFFSETS.get(kind))
    plainly = confusions(plain.argmax(axis=1), labels, repositories)
    likeliest = confusions(fitted.argmax(axis=1), labels, repositories)
    weighed = confusions(decided, labels, repositories)
    base = np.bincount(labels).max() / len(labels)
    commits = f"{len(labels):,} commits of {len(plainly)} repositories"
    lines = [
        f"{KINDS[kind]}: {commits}; the commonest category has accuracy {base:.3f}",
        "",
        "| | plain baseline | likeliest | gain | as decided | gain |",
        "|---|---|---|---|---|---|",
        compared("accuracy", accuracy, plainly, likeliest, weighed),
        compared("macro-F1", macro_f1, plainly, likeliest, weighed),
        f"| accuracy on the surest half | {surest(plain, labels):.3f} | {surest(fitted, labels):.3f} | | | |",
        f"| security as a ranking, AUC | {security(plain, labels):.3f} | {security(fitted, labels):.3f} | | | |",
    ]
    return "\n".join(lines)


def compared(name: str, of: Measure, plain: np.ndarray, likeliest: np.ndarray, weighed: np.ndarray) -> str:
    values = [f"{of(each.sum(axis=0)):.3f}" for each in (plain, likeliest, weighed)]
    gains = gain(of, plain, likeliest), gain(of, plain, weighed)
    return f"| {name} | {values[0]} | {values[1]} | {gains[0]} | {values[2]} | {gains[1]} |"


def confusions(said: np.ndarray, labels: np.ndarray, repositories: np.ndarray) -> np.ndarray:
    """(repositories, 4, 4): how often each label was given each answer."""
    found = [labels[repositories == name] * N + said[repositories == name] for name in np.unique(repositories)]
    return np.array([np.bincount(each, minlength=N * N).reshape(N, N) for each in found])


def accuracy(confusion: np.ndarray) -> float:
    return float(np.trace(confusion) / confusion.sum())


def macro_f1(confusion: np.ndarray) -> float:
    both = confusion.sum(axis=0) + confusion.sum(axis=1)
    return float(np.mean(2 * np.diag(confusion) / np.maximum(both, 1)))


def surest(probabilities: np.ndarray, labels: np.ndarray) -> float:
    sure = probabilities.max(axis=1)
    return float((probabilities.argmax(axis=1) == labels)[sure >= np.median(sure)].mean())


def security(probabilities: np.ndarray, labels: np.ndarray) -> float:
    return auc(probabilities[:, SECURITY], labels == SECURITY)


def gain(of: Measure, before: np.ndarray, after: np.ndarray) -> str:
    rng = np.random.default_rng(1)
    drawn = [rng.integers(0, len(before), len(before)) for _ in range(DRAWS)]
    gains = [of(after[at].sum(axis=0)) - of(before[at].sum(axis=0)) for at in drawn]
    low, high = np.quantile(gains, [0.025, 0.975])
    return f"{of(after.sum(axis=0)) - of(before.sum(axis=0)):+.3f} ({low:+.3f} to {high:+.3f})"


def evaluate_related(data: Path) -> str:
    precision, hits = related_changes.measured(data)
    lines = ["| | P@5 | of the same scope among 5 |", "|---|---|---|"]
    lines += [f"| {name} | {interval(values)} | {interval(hits[name])} |" for name, values in precision.items()]
    rows = len(next(iter(precision.values())))
    return f"{rows} repositories, {related_changes.QUERIES} questions each\n\n" + "\n".join(lines)


def interval(values: list[float]) -> str:
    rng, found = np.random.default_rng(1), np.array(values)
    means = found[rng.integers(0, len(found), (DRAWS, len(found)))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return f"{found.mean():.3f} ({low:.3f} to {high:.3f})"


def put_section(out: Path, title: str, text: str) -> None:
    """In place of the section of that title, or at the end."""
    sections = out.read_text().split("\n## ") if out.exists() else ["# Evaluation\n"]
    kept = [section for section in sections if section.partition("\n")[0] != title]
    out.write_text("\n## ".join([*(section.rstrip() + "\n" for section in kept), f"{title}\n\n{text}\n"]))


def main(data: Path, out: Path) -> None:
    found = data / "train.jsonl.gz" if data.is_dir() else data
    put_section(out, "Related changes", evaluate_related(found))
    put_section(out, "Categories", evaluate_categories(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
