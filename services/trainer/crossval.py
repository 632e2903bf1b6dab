"""Answers to changes that no part of the answering model was fitted on: repositories left out, or the newest rows."""

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from services.trainer import booster, contenders, shipped
from services.trainer.calibrate import IDENTITY, apply, platt
from services.trainer.dataset import Floats
from services.trainer.evaluate import log_loss
from services.trainer.labelled import Labelled, without
from services.trainer.shipped import THREADS
from services.trainer.split import EVALUATION_SHARE
from shared.artefacts import Calibration
from shared.features.vector import DECLARED, REMEMBERED

FOLDS = 10
GAP = np.timedelta64(30, "D")

Rows = npt.NDArray[np.bool_]
Answers = dict[str, Floats]
Answer = Callable[[Labelled, Rows, Rows], Answers]

MODEL, TOLD, COLD = "model", "model, type declared", "model, no history"
PLAIN, PLAIN_COLD, LOGISTIC = "plain LightGBM", "plain LightGBM, no history", "logistic regression"
FORMULA, FORMULA_COLD, CONSTANT = "formula", "formula, no history", "constant"
# Answers of the trees, which a curve makes probabilities of.
CALIBRATED = (MODEL, TOLD, COLD)
COLDLY = (*REMEMBERED, *DECLARED)


def folds(repository: npt.NDArray[np.str_]) -> npt.NDArray[np.intp]:
    """The fold of each row: whole repositories, so many rows in each fold as in the others, nearly."""
    names, place, rows = np.unique(repository, return_inverse=True, return_counts=True)
    fold, filled = np.zeros(len(names), np.intp), np.zeros(min(FOLDS, len(names)))
    for name in np.argsort(-rows, kind="stable"):
        fold[name] = np.argmin(filled)
        filled[fold[name]] += rows[name]
    return fold[place]


def leave_repositories_out(data: Labelled, answer: Answer) -> Iterator[tuple[Rows, Answers]]:
    """(rows, their answers) for each fold, from models fitted on the other folds."""
    fold = folds(data.repository)
    for number in range(fold.max() + 1):
        yield fold == number, answer(data, fold != number, fold == number)


def newest(data: Labelled) -> tuple[Rows, Rows]:
    """(what was known, rows): the newest fifth of each repository, and all that was 30 days before it began."""
    new, known = np.zeros(len(data), bool), np.zeros(len(data), bool)
    for name in data.repositories():
        rows = np.flatnonzero(data.repository == name)
        begin = rows[len(rows) - max(1, round(len(rows) * EVALUATION_SHARE))]
        new[rows[rows >= begin]] = True
        known[rows[data.submitted_at[rows] < data.submitted_at[begin] - GAP]] = True
    return known, new


def of_model(data: Labelled, known: Rows, new: Rows) -> Answers:
    """Of the model that ships to the rows `new`, fitted on the rows `known`; not yet calibrated."""
    model = shipped.trees(data, known)
    told, cold = data.x[new], without(data.x[new], COLDLY)
    return {
        MODEL: booster.predict(model, without(told, DECLARED), THREADS),
        TOLD: booster.predict(model, told, THREADS),
        COLD: booster.predict(model, cold, THREADS),
    }


def of_all(data: Labelled, known: Rows, new: Rows) -> Answers:
    """Of the model and of everything that it is measured beside."""
    given, inputs = data.given, [name.startswith("input.") for name in data.given_names]
    y = data.y[known]
    untold, cold = without(data.x[new], DECLARED), without(data.x[new], COLDLY)
    return {
        **of_model(data, known, new),
        PLAIN: contenders.plain(given[known], y, given[new]),
        PLAIN_COLD: contenders.plain(given[known][:, inputs], y, given[new][:, inputs]),
        LOGISTIC: contenders.logistic(given[known], y, given[new]),
        FORMULA: booster.sigmoid(booster.begin(untold)),
        FORMULA_COLD: booster.sigmoid(booster.begin(cold)),
        CONSTANT: np.full(int(new.sum()), y.mean()),
    }


def gathered(data: Labelled, parts: list[tuple[Rows, Answers]]) -> tuple[Answers, Calibration]:
    """(answers of all rows, the calibration of the trees). A fold's curve goes through the answers to the other folds.

    It is kept only where it helps: base rates differ between repositories, and a curve that follows those of some is
    of no use to another.
    """
    together = {name: np.empty(len(data)) for name in parts[0][1]}
    for rows, part in parts:
        for name, answer in part.items():
            together[name][rows] = answer
    curved = {name: _curved(together[name], data.y, parts) for name in CALIBRATED if name in together}
    if log_loss(curved[MODEL], data.y) >= log_loss(together[MODEL], data.y):
        return together, IDENTITY
    return together | curved, curve(together[MODEL], data.y)


def _curved(raw: Floats, y: Floats, parts: list[tuple[Rows, Answers]]) -> Floats:
    answers = np.empty(len(y))
    for rows, _ in parts:
        answers[rows] = apply(curve(raw[~rows], y[~rows]), raw[rows])
    return answers


def curve(raw: Floats, y: Floats) -> Calibration:
    """Two numbers and no more: a freer one follows the repositories it is made of all the closer."""
    return platt(raw, y) or IDENTITY
