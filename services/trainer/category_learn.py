"""The fitting process for categories: what a deployment's own changes say, on top of the model that ships."""

import hashlib
from pathlib import Path
from typing import Any, Literal

import lightgbm
import msgspec
import numpy as np

from services.trainer import category_rows, job
from services.trainer.category_fit import Fit, blended, fitted, scores, softmax
from services.trainer.category_judge import judge
from services.trainer.category_quality import least_sure, security_log_odds
from services.trainer.category_rows import Example, Rows
from services.trainer.domain import category_refusal
from services.trainer.job import Fitted, Job, Refused, Say
from services.trainer.split import Split, by_time
from shared.artefacts import sha256_of
from shared.categories.artefact import KINDS, decode, encode
from shared.categories.forest import Forest
from shared.categories.model import Floats, Model, Table
from shared.categories.tokens import read_words
from shared.diffs import Diff

Kind = Literal["with_title", "without_title"]
# How loud the trees that ship may be beside words fitted anew.
SHARES = (0.0, 0.25, 0.5, 0.75)
# A table needs so many rows to be fitted, and to choose its share and floors by; else it stays as it ships.
LEAST_KNOWN, LEAST_LATER = 100, 20


def train(directory: Path, say: Say) -> Fitted | Refused:
    """Reads the job, fits, judges, and leaves the artefact in `directory`."""
    task = job.read_job(directory)
    examples = category_rows.readable(category_rows.read(directory))
    if reason := category_refusal(category_rows.counts([example for example, _ in examples])):
        return Refused(reason=reason)
    split = by_time(np.array([example.at.replace(tzinfo=None) for example, _ in examples], "datetime64[us]"))
    say("fitting")
    begin = _read(directory, job.BASE)
    sha256, data = encode(learned(begin, examples[: split.calibrate.stop], split))
    (directory / job.ARTEFACT).write_bytes(data)
    say("evaluating")
    champion = _read(directory, job.CHAMPION) if task.champion else None
    metrics, verdict = judge(task, decode(data, sha256=sha256), champion or begin, examples, split)
    return Fitted(
        sha256=sha256,
        rows=len(examples),
        base_rate=metrics["base_rate"],
        trained_from=examples[0][0].at,
        trained_until=examples[split.calibrate.stop - 1][0].at,
        metrics=metrics,
        lineage=_lineage(task, [example for example, _ in examples]),
        verdict=verdict,
    )


def learned(begin: Model, known: list[tuple[Example, Diff]], split: Split) -> Model:
    """The rows up to `split.stop` teach the words; those of `split.calibrate` say what the tables cannot know."""
    tables = {kind: _table(begin, kind, known, split) for kind in KINDS}
    return msgspec.structs.replace(begin, **tables)


def _table(begin: Model, kind: Kind, known: list[tuple[Example, Diff]], split: Split) -> Table:
    table: Table = getattr(begin, kind)
    fit, later = (_rows(kind, known[part]) for part in (slice(0, split.stop.stop), split.calibrate))
    if fit is None or later is None or len(fit) < LEAST_KNOWN or len(later) < LEAST_LATER:
        return table
    own = fitted(fit, kind, Fit.of(begin.edges, table))
    words = softmax(scores(own, later, kind))
    share, p = _shared(words, table.forest, later, kind)
    return msgspec.structs.replace(
        table,
        words=own.words,
        bins=own.bins,
        bias=own.bias,
        share=np.array(share, np.float32),
        floors=least_sure(p, table.offsets),
        security=np.percentile(security_log_odds(p), np.arange(101)),
    )


def _rows(kind: Kind, known: list[tuple[Example, Diff]]) -> Rows | None:
    """As a model without a title sees all of them, or one with a title those that have one."""
    titled = kind == "with_title"
    read = [
        (diff, read_words(diff, example.title if titled else None), example.category)
        for example, diff in known
        if not titled or example.title
    ]
    return category_rows.rows_of(read) if read else None


def _shared(words: Floats, forest: Forest | None, rows: Rows, kind: Kind) -> tuple[float, Floats]:
    """The trees' share that would have surprised least on these rows, and the probabilities with it."""
    if forest is None:
        return 0.0, words
    channels = category_rows.channels_of(kind)
    said = [each.only(channels) for each in rows.spoken]
    found = [forest.scores(shape, s.crcs, s.weights) for shape, s in zip(rows.shapes, said, strict=True)]
    trees = softmax(np.array(found))
    mixed = {share: blended(trees, words, share) for share in SHARES}
    share = min(mixed, key=lambda each: _surprise(mixed[each], rows))
    return share, mixed[share]


def _surprise(p: Floats, rows: Rows) -> float:
    return float(-np.log(p[np.arange(len(rows)), rows.labels] + 1e-9).mean())


def _read(directory: Path, name: str) -> Model:
    data = (directory / name).read_bytes()
    return decode(data, sha256=sha256_of(data))


def _lineage(task: Job, examples: list[Example]) -> dict[str, Any]:
    digest = hashlib.sha256()
    for example in examples:
        digest.update(msgspec.json.encode(example))
    return {
        "data_sha256": digest.hexdigest(),
        "data_from": examples[0].at,
        "data_until": examples[-1].at,
        "rows": len(examples),
        "categories": category_rows.counts(examples),
        "based_on": task.based_on,
        "feature_set": task.feature_set,
        "code_version": task.code_version,
        "lightgbm_version": lightgbm.__version__,
    }
