"""A new model is tried as it will be served before anybody can promote it."""

import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from services.trainer import canary
from shared.artefacts import Artefact, Calibration, encode
from shared.features.formula import FORMULA
from shared.features.vector import FEATURE_SET, FEATURES
from shared.trees import Tree, write

STUMP = Tree([0], [10.0], [10], [-1], [-2], leaf_value=[0.4, -0.4], leaf_count=[60, 40])
GOOD = Artefact(
    kind="confidence",
    feature_set=FEATURE_SET,
    features=list(FEATURES),
    booster=write([STUMP], FEATURES),
    begins_at=FORMULA,
    calibration=Calibration(method="identity", x=[0.0, 1.0], y=[0.0, 1.0]),
)


def laid(directory: Path, **changes: Any) -> tuple[str, Path, str]:
    sha256, data = encode(msgspec.structs.replace(GOOD, **changes))
    (directory / "artefact.json").write_bytes(data)
    return "confidence", directory / "artefact.json", sha256


async def test_a_model_that_answers_passes(tmp_path: Path) -> None:
    assert await canary.refusal(*laid(tmp_path)) is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"feature_set": "another"}, "other features"),
        ({"booster": GOOD.booster.replace("right_child=-2", "right_child=0")}, "after its parent"),
    ],
)
async def test_a_model_that_cannot_be_served_is_refused_with_its_reason(
    tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    assert reason in str(await canary.refusal(*laid(tmp_path, **changes)))


async def test_bytes_under_another_name_are_refused(tmp_path: Path) -> None:
    kind, path, _ = laid(tmp_path)
    assert "sha256" in str(await canary.refusal(kind, path, "0" * 64))


@pytest.mark.parametrize(
    ("stand_in", "said"), [("import os; os.abort()", "ended with -6"), ("import time; time.sleep(60)", "no answer")]
)
async def test_a_trial_that_dies_or_never_ends_is_a_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stand_in: str, said: str
) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!{sys.executable}\n{stand_in}\n")
    python.chmod(0o755)
    monkeypatch.setattr(canary.sys, "executable", str(python))
    monkeypatch.setattr(canary, "LIMIT_SECONDS", 2.0)
    assert said in str(await canary.refusal(*laid(tmp_path)))
