"""The report of an evaluation: everything beside everything else, on the same rows."""

from pathlib import Path

import pytest

from services.trainer import labelled, report, shipped
from services.trainer.crossval import CONSTANT, MODEL, PLAIN
from tests.unit.test_labelled import lines, write


def test_a_report_sets_the_model_beside_simpler_ones_and_tells_the_base_rate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shipped, "ROUNDS", 20)
    data = labelled.read(write(tmp_path / "outcome.jsonl.gz", *(lines(f"acme/{i}", 300, seed=i) for i in range(3))))
    told = report.written(data)
    first = told.partition("## Repositories left out")[2].partition("##")[0]
    assert f"897 changes, base rate {data.y.mean():.3f}" in first
    assert [name for name in (MODEL, PLAIN, CONSTANT) if f"\n| {name} |" in first] == [MODEL, PLAIN, CONSTANT]
    assert "## Gain over plain LightGBM" in told
    # None of these is among the repositories that the shipped model was fitted on.
    assert "## The model as it ships, on repositories it has not seen" in told
    assert "| acme/0 | 299 |" in told
