"""Labelled histories: what is read from files, and what comes of them."""

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.trainer import crossval, job, labelled
from services.trainer.labelled import LabelledError
from shared.features.change import CHANGE_FEATURES
from shared.features.vector import FEATURES

DAY = 86_400
START = 1_700_000_000


def lines(repository: str, count: int, seed: int = 1) -> list[dict[str, Any]]:
    """Commits of one repository, of which the large ones fail sooner, and the last was not settled yet."""
    random = np.random.default_rng(seed)
    made = []
    for number in range(count):
        added = int(random.integers(1, 400))
        failed = bool(random.random() < added / 800)
        numbers = dict.fromkeys(CHANGE_FEATURES, 0) | {"la": added, "n_files": 1, "hunks": 1}
        made.append(
            {
                "repo": repository,
                "author": f"a{number % 3}",
                "time": START + number * DAY // 4,
                "input": {"agent": "human", "files": [[f"src/{number % 5}.py", "M", added, 0]], **numbers},
                "history": {"author_n": number // 3},
                "label": {
                    "outcome": None if number == count - 1 else "fail" if failed else "success",
                    "fixed_days": 2.0 if failed else None,
                    "is_fix": number % 2 == 0,
                },
            }
        )
    return made


def write(path: Path, *histories: list[dict[str, Any]]) -> Path:
    with gzip.open(path, "wt") as file:
        file.writelines(json.dumps(line) + "\n" for history in histories for line in history)
    return path


def value(data: labelled.Labelled, row: int, feature: str) -> float:
    return float(data.x[row, FEATURES.index(feature)])


def test_the_past_of_a_change_is_made_of_the_lines_before_it_alone(tmp_path: Path) -> None:
    history = lines("acme/shop", 40)
    data = labelled.read(write(tmp_path / "outcome.jsonl.gz", history[::-1]))
    assert len(data) == 39
    known = sum(line["label"]["outcome"] == "fail" for line in history[:12])  # those of two days ago and before
    assert value(data, 20, "repository_changes") == 20
    expected = (known + 20 * 0.14) / (20 + 20)
    assert value(data, 20, "repository_failure_rate") == pytest.approx(expected, abs=1 / 40)
    assert np.isnan(value(data, 0, "repository_changes"))


def test_a_list_of_files_that_was_cut_short_tells_nothing_of_new_files(tmp_path: Path) -> None:
    history = lines("acme/shop", 30)
    history[5]["input"]["n_files"] = 40
    data = labelled.read(write(tmp_path / "outcome.jsonl.gz", history))
    assert np.isnan(value(data, 5, "n_new"))
    assert value(data, 6, "n_new") == 0


@pytest.mark.parametrize(("content", "says"), [(None, "no labelled history"), (b"{}\n", "line 1"), (b"", "no change")])
def test_what_is_no_labelled_history_is_refused(tmp_path: Path, content: bytes | None, says: str) -> None:
    if content is not None:
        (tmp_path / "outcome.jsonl").write_bytes(content)
    with pytest.raises(LabelledError, match=says):
        labelled.read(tmp_path)


def test_a_repository_is_never_answered_by_what_was_fitted_on_it() -> None:
    repository = np.repeat([f"r{i}" for i in range(23)], range(1, 24))
    fold = crossval.folds(repository)
    assert fold.max() + 1 == crossval.FOLDS
    assert all(len(set(fold[repository == name])) == 1 for name in set(repository))


def trained(data: Path, out: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "services.trainer.offline", "train"]
    return subprocess.run([*command, "--data", data, "--out", out], capture_output=True, text=True)


def test_the_same_files_give_the_same_model_byte_for_byte(tmp_path: Path) -> None:
    data = write(tmp_path / "outcome.jsonl.gz", *(lines(f"acme/{i}", 400, seed=i) for i in range(2)))
    one, two = tmp_path / "one", tmp_path / "two"
    assert [trained(data, out).returncode for out in (one, two)] == [0, 0]
    for name in (job.ARTEFACT, job.RESULT):
        assert (one / name).read_bytes() == (two / name).read_bytes()
    assert job.read_result(one).lineage["repositories"] == {"acme/0": 399, "acme/1": 399}  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("histories", "says"),
    [((lines("r", 50), lines("s", 50)), "98 fixes with an outcome"), ((lines("r", 500),), "of one repository")],
)
def test_files_that_teach_nothing_give_no_model_and_say_why(
    tmp_path: Path, histories: tuple[list[dict[str, Any]], ...], says: str
) -> None:
    ended = trained(write(tmp_path / "outcome.jsonl.gz", *histories), tmp_path / "out")
    assert ended.returncode == 1
    assert says in ended.stderr
    assert not (tmp_path / "out").exists()
