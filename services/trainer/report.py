"""docs/evaluation.md: what the model that ships is worth on changes it was not fitted on, beside simpler answers."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import numpy.typing as npt

from services.trainer import booster, crossval, default, evaluate, job
from services.trainer.calibrate import apply
from services.trainer.crossval import (
    COLD,
    CONSTANT,
    FORMULA,
    FORMULA_COLD,
    LOGISTIC,
    MODEL,
    PLAIN,
    PLAIN_COLD,
    TOLD,
    Answers,
)  # fmt: skip
from services.trainer.dataset import Floats
from services.trainer.evaluate import Scores
from services.trainer.judge import read_artefact
from services.trainer.labelled import Labelled, without
from services.trainer.shipped import THREADS
from shared.features.vector import DECLARED

SEED = 1
ALL = (MODEL, TOLD, PLAIN, LOGISTIC, FORMULA, CONSTANT)
ALL_COLD = (COLD, PLAIN_COLD, FORMULA_COLD)
HUMAN = "human"
COLUMNS: dict[str, Callable[[Scores], float | None]] = {
    "accuracy": lambda s: s.accuracy,
    "precision": lambda s: s.precision,
    "recall": lambda s: s.recall,
    "F1": lambda s: s.f1,
    "AUC": lambda s: s.auc,
    "Brier": lambda s: s.brier,
    "Brier skill": lambda s: s.brier_skill,
    "log-loss": lambda s: s.log_loss,
    "ECE": lambda s: s.ece,
    "r": lambda s: s.r,
}
GAINS: dict[str, Callable[[Floats, Floats], float]] = {
    "AUC": lambda p, y: evaluate.auc(p, y) or 0.5,
    "Brier skill": lambda p, y: evaluate.scores(p, y).brier_skill or 0.0,
}
# Behind it stands what `benchmarks/evaluate_memory.py` measured.
MEMORY = "<!-- make eval-memory -->"
INTRODUCTION = """# Evaluation of confidence

Written by `make eval`; nothing here is edited by hand. `confidence` is P(the change is neither reverted nor fixed again
within 30 days). Every number stands beside that of a constant answer on the same rows: most changes hold, so accuracy
alone says little, and AUC, Brier skill and calibration say it.

Accuracy, precision, recall and F1 take `held` as the positive class and 0.5 as the threshold. Brier skill is one minus
the Brier score over that of the rows' own base rate, the best constant in hindsight. ECE is over {ece_bins} bins of
equal mass. **r** is Pearson's correlation between the mean confidence and the share that held, over ten bins of equal
mass: it says that the reliability curve is straight, and is near 1 for any sensible model; it is not the correlation
of single answers with single outcomes, which is given apart. The surest half are the rows whose confidence is
farthest from one half.

Repositories are left out whole, in ten folds: whoever answers was fitted on the other folds alone. Calibration of a
fold comes from the answers to the other folds, and is left out (*identity*) where the raw answers are nearer. No type
is declared and there are no signals unless it says so. *plain LightGBM* sees every number that the data have of a
change and its past; *logistic regression* the same. Features and parameters of the model were chosen on such folds of
these rows, and the formula, the size term and the priors were fitted on all of them: on other repositories expect a
little less.
"""


def written(data: Labelled) -> str:
    """The whole report, in Markdown."""
    parts = list(crossval.leave_repositories_out(data, crossval.of_all))
    answers, calibration = crossval.gathered(data, parts)
    everyone = np.ones(len(data), bool)
    agents = data.agent != HUMAN
    sections = [
        INTRODUCTION.format(ece_bins=evaluate.ECE_BINS),
        _contents(data) + f"Calibration: {calibration.method}.\n",
        _section("Repositories left out", _scores(answers, data.y, everyone, ALL)),
        _gain("Gain over plain LightGBM", answers, data, (MODEL, PLAIN)),
        _section("No history at all (cold start)", _scores(answers, data.y, everyone, ALL_COLD)),
        _section("Changes by coding agents alone", _scores(answers, data.y, agents, ALL)),
        _newest(data),
        _each("Each repository, left out", data, answers, data.repository),
        _each("Each agent", data, answers, data.agent),
        _unseen(data),
    ]
    return "\n".join(section for section in sections if section)


def _contents(data: Labelled) -> str:
    base, repositories, agents = data.y.mean(), len(data.repositories()), int((data.agent != HUMAN).sum())
    known = f"{len(data):,} changes with a known outcome, of {repositories} repositories"
    return f"{known}; base rate {base:.3f}; {agents:,} by coding agents.\n"


def _section(title: str, table: str, note: str = "") -> str:
    return f"## {title}\n\n{table}\n{note}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _scores(answers: Answers, y: Floats, rows: npt.NDArray[np.bool_], names: Sequence[str]) -> str:
    """One line a contender, all on the same rows."""
    outcomes = y[rows]
    if not len(outcomes):
        return "There are none.\n"
    head = ["", *COLUMNS, "surest half", "ECE, 90 %", "single r"]
    lines = [[name, *_line(answers[name][rows], outcomes)] for name in names if name in answers]
    return f"{len(outcomes):,} changes, base rate {outcomes.mean():.3f}.\n\n{_table(head, lines)}"


def _line(p: Floats, y: Floats) -> list[str]:
    scores = evaluate.scores(p, y)
    low, high = evaluate.ece_interval(p, y, SEED)
    single = float(np.corrcoef(p, y)[0, 1]) if p.std() else None
    numbers = [_number(read(scores)) for read in COLUMNS.values()]
    return [*numbers, _number(evaluate.surest_half(p, y)), f"{low:.3f}–{high:.3f}", _number(single)]


def _gain(title: str, answers: Answers, data: Labelled, names: tuple[str, str]) -> str:
    new, other = (answers[name] for name in names)
    lines = []
    for measure, read in GAINS.items():
        gain = evaluate.over_groups(read, new, other, data.y, data.repository, SEED)
        lines.append([measure, f"{gain.mean:+.4f}", f"{gain.low:+.4f} to {gain.high:+.4f}"])
    return _section(title, _table(["of the model", "gain", "95 %, over repositories"], lines))


def _newest(data: Labelled) -> str:
    known, new = crossval.newest(data)
    answers = crossval.of_all(data, known, new)
    table = _scores(
        answers, data.y[new], np.ones(int(new.sum()), bool), (MODEL, TOLD, PLAIN, LOGISTIC, FORMULA, CONSTANT)
    )
    note = (
        "\nEach repository's newest fifth, answered by models of everything 30 days before it began; not calibrated.\n"
    )
    return _section("With the repository's own earlier history", table, note)


def _each(title: str, data: Labelled, answers: Answers, group: npt.NDArray[np.str_]) -> str:
    head = ["", "changes", "base rate", "mean confidence", "AUC", "AUC plain", "Brier skill", "skill plain", "ECE"]
    names = sorted(set(group.tolist()), key=lambda name: -int((group == name).sum()))
    return _section(title, _table(head, (_group(name, data.y, answers, group == name) for name in names)))


def _group(name: str, y: Floats, answers: Answers, rows: npt.NDArray[np.bool_]) -> list[str]:
    p, held = answers[MODEL][rows], y[rows]
    ours, theirs = evaluate.scores(p, held), evaluate.scores(answers[PLAIN][rows], held)
    skills = [_number(scores.brier_skill) for scores in (ours, theirs)]
    aucs = [_number(scores.auc) for scores in (ours, theirs)]
    return [
        name,
        f"{len(held):,}",
        _number(ours.base_rate),
        _number(float(p.mean())),
        *aucs,
        *skills,
        _number(ours.ece),
    ]


def _unseen(data: Labelled) -> str:
    """The model as it ships, on repositories that it was not fitted on; empty where there are none."""
    rows = ~np.isin(data.repository, list(default.about().lineage["repositories"]))
    if not rows.any():
        return ""
    artefact = read_artefact(default.DIRECTORY, job.ARTEFACT)

    def served(x: Floats) -> Floats:
        return apply(artefact.calibration, booster.predict(artefact.booster, x, THREADS))

    untold, cold = without(data.x[rows], DECLARED), without(data.x[rows], crossval.COLDLY)
    answers = {
        MODEL: served(untold),
        TOLD: served(data.x[rows]),
        COLD: served(cold),
        FORMULA: booster.sigmoid(booster.begin(untold)),
        CONSTANT: np.full(int(rows.sum()), default.about().base_rate),
    }
    held, agents = data.y[rows], data.agent[rows] != HUMAN
    table = _scores(answers, held, np.ones(len(held), bool), tuple(answers))
    if agents.any():
        table += "\nBy coding agents alone: " + _scores(answers, held, agents, (MODEL, FORMULA, CONSTANT))
    return _section("The model as it ships, on repositories it has not seen", table)
