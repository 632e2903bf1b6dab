"""Measures categories and related changes on labelled histories: `python -m benchmarks.evaluate_memory DATA OUT`.

DATA is a directory with `train.jsonl.gz`, or that file. The two sections are put into OUT, a Markdown file, in place
of those of an earlier run. Repositories are left out whole; intervals are of 95 %, over repositories drawn with
replacement; gains are over the plain baselines on the same rows.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks import related_changes
from benchmarks.fit_categories import OFFSETS, cross_fitted, plain_cross_fitted
from benchmarks.labelled_changes import Histories, read
from services.trainer.category_quality import auc
from services.trainer.report import MEMORY
from shared.categories.model import CATEGORIES, SECURITY

DRAWS = 1000
KINDS = {"without_title": "diff alone", "with_title": "with title"}
CATEGORIES_TOLD = """\
Each change is answered by a model that has seen nothing of its repository (five folds). *plain* is TF-IDF of all words
with the same shape in a logistic model; *balanced* is the same with every category as loud as any other. *likeliest* is
the model's most probable category, *as decided* what it answers: one rule, fixed offsets before the choice, floors set
aside. Trees' share and offsets are round numbers chosen on these folds. The surest half are the changes whose likeliest
category is most probable. Gains have their 95 % interval over repositories."""

Measure = Callable[[np.ndarray], float]


class Answers(NamedTuple):
    """(rows,) the category said, and (rows, 4) probabilities."""

    said: np.ndarray
    p: np.ndarray


class Rows(NamedTuple):
    labels: np.ndarray
    repositories: np.ndarray

    def each(self, of: Callable[["Rows", Answers], float], answers: Answers) -> Callable[[np.ndarray], float]:
        """The measure on the rows of the repositories given, by number, each as often as it comes."""
        places = [np.flatnonzero(self.repositories == name) for name in np.unique(self.repositories)]

        def measure(drawn: np.ndarray) -> float:
            rows = np.concatenate([places[at] for at in drawn])
            return of(Rows(self.labels[rows], rows), Answers(answers.said[rows], answers.p[rows]))

        return measure


def accuracy(rows: Rows, answers: Answers) -> float:
    return float((answers.said == rows.labels).mean())


def macro_f1(rows: Rows, answers: Answers) -> float:
    n = len(CATEGORIES)
    confusion = np.bincount(rows.labels * n + answers.said, minlength=n * n).reshape(n, n)
    both = confusion.sum(axis=0) + confusion.sum(axis=1)
    return float(np.mean(2 * np.diag(confusion) / np.maximum(both, 1)))


def surest_half(rows: Rows, answers: Answers) -> float:
    sure = answers.p.max(axis=1)
    return float((answers.p.argmax(axis=1) == rows.labels)[sure >= np.median(sure)].mean())


def security(rows: Rows, answers: Answers) -> float:
    return auc(answers.p[:, SECURITY], rows.labels == SECURITY)


MEASURES = {
    "accuracy": accuracy,
    "macro-F1": macro_f1,
    "accuracy on the surest half": surest_half,
    "security as a ranking, AUC": security,
}


def evaluate_categories(histories: Histories) -> str:
    return "\n\n".join([CATEGORIES_TOLD, *(category_table(histories, kind) for kind in KINDS)])


def category_table(histories: Histories, kind: str) -> str:
    rows = Rows(histories.labels, histories.repositories)
    plain, balanced = (likeliest(plain_cross_fitted(histories, kind, balanced=each)) for each in (False, True))
    p = cross_fitted(histories, kind)
    decided = Answers((np.log(p + 1e-9) + OFFSETS[kind]).argmax(axis=1), p)
    base = np.bincount(rows.labels).max() / len(rows.labels)
    names = len(np.unique(rows.repositories))
    commits = f"{len(rows.labels):,} commits of {names} repositories; the commonest category has accuracy {base:.3f}"
    lines = [
        f"### {KINDS[kind].capitalize()}",
        f"{commits}.",
        "| | plain | balanced | likeliest | as decided | gain over plain | gain over balanced |\n" + "|---" * 7 + "|",
    ]
    table = [compared(rows, name, [plain, balanced, likeliest(p), decided]) for name in MEASURES]
    return "\n\n".join(lines) + "\n" + "\n".join(table)


def likeliest(p: np.ndarray) -> Answers:
    return Answers(p.argmax(axis=1), p)


def compared(rows: Rows, name: str, answers: list[Answers]) -> str:
    whole = np.arange(len(np.unique(rows.repositories)))
    measures = [rows.each(MEASURES[name], each) for each in answers]
    values = [f"{measure(whole):.3f}" for measure in measures]
    gains = [gain(measures[-1], before, len(whole)) for before in measures[:2]]
    return f"| {name} | {' | '.join(values + gains)} |"


def gain(after: Measure, before: Measure, groups: int) -> str:
    rng = np.random.default_rng(1)
    drawn = [rng.integers(0, groups, groups) for _ in range(DRAWS)]
    low, high = np.nanquantile([after(at) - before(at) for at in drawn], [0.025, 0.975])
    whole = np.arange(groups)
    return f"{after(whole) - before(whole):+.3f} ({low:+.3f} to {high:+.3f})"


def evaluate_related(data: Path) -> str:
    repositories = related_changes.scoped(data)
    asked = [related_changes.table(repositories, name, interval) for name in related_changes.PROTOCOLS]
    return "\n\n".join([related_changes.TOLD, *asked])


def interval(values: list[float]) -> str:
    rng, found = np.random.default_rng(1), np.array(values)
    means = found[rng.integers(0, len(found), (DRAWS, len(found)))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return f"{found.mean():.3f} ({low:.3f} to {high:.3f})"


def put_part(out: Path, sections: dict[str, str]) -> None:
    """All behind the mark; what `make eval` wrote in front of it stays."""
    kept, _, _ = (out.read_text() if out.exists() else "").partition(MEMORY)
    written = [MEMORY, "# Evaluation of categories and related changes"]
    written += [f"## {title}\n\n{text}" for title, text in sections.items()]
    out.write_text(f"{kept.rstrip()}\n\n".lstrip("\n") + "\n\n".join(written) + "\n")


def main(data: Path, out: Path) -> None:
    found = data / "train.jsonl.gz" if data.is_dir() else data
    related = evaluate_related(found)
    put_part(out, {"Categories": evaluate_categories(read(found)), "Related changes": related})


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
