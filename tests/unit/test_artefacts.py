"""A model file is trusted for nothing: it is what its name says, or it is not served."""

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import artefacts
from shared.artefacts import Artefact, ArtefactError, Calibration, decode, encode
from shared.trees import Tree, write

FEATURES = ["lines_added", "files"]
STUMP = Tree(
    feature=[1], threshold=[2.5], decision=[10], left=[-1], right=[-2], leaf_value=[0.5, -0.5], leaf_count=[9, 4]
)
ARTEFACT = Artefact(
    kind="confidence",
    feature_set="f1",
    features=FEATURES,
    booster=write([STUMP], FEATURES),
    begins_at="zero",
    calibration=Calibration(method="isotonic", x=[0.2, 0.4, 0.8], y=[0.1, 0.5, 0.9]),
)


def changed(**changes: Any) -> tuple[bytes, str]:
    """An artefact with other fields, under its own right name."""
    document = json.loads(encode(ARTEFACT)[1])
    for path, value in changes.items():
        place = document
        *outer, last = path.split("__")
        for name in outer:
            place = place[name]
        place[last] = value
    data = json.dumps(document).encode()
    return data, hashlib.sha256(data).hexdigest()


def test_what_was_encoded_is_decoded_under_its_name() -> None:
    sha256, data = encode(ARTEFACT)
    assert decode(data, sha256=sha256) == ARTEFACT


@given(st.data())
def test_a_changed_byte_anywhere_is_seen(data: st.DataObject) -> None:
    sha256, encoded = encode(ARTEFACT)
    at = data.draw(st.integers(0, len(encoded) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda b: b != encoded[at]))
    with pytest.raises(ArtefactError, match="sha256"):
        decode(encoded[:at] + bytes([byte]) + encoded[at + 1 :], sha256=sha256)


def test_a_file_that_is_too_large_is_not_even_read(monkeypatch: pytest.MonkeyPatch) -> None:
    sha256, data = encode(ARTEFACT)
    monkeypatch.setattr(artefacts, "MAX_BYTES", len(data) - 1)
    with pytest.raises(ArtefactError, match="bytes"):
        decode(data, sha256=sha256)


@pytest.mark.parametrize("data", [b"", b"\x80\x04\x95", b"[]", b"{}", b'{"format":1}'])
def test_what_is_no_artefact_is_refused_even_under_its_right_name(data: bytes) -> None:
    with pytest.raises(ArtefactError, match="not an artefact"):
        decode(data, sha256=hashlib.sha256(data).hexdigest())


@pytest.mark.parametrize(
    "changes", [{"format": 2}, {"kind": "other"}, {"features": "lines"}, {"hook": "x"}, {"calibration__method": "beta"}]
)
def test_a_field_that_is_unknown_or_holds_something_else_is_refused(changes: dict[str, Any]) -> None:
    data, sha256 = changed(**changes)
    with pytest.raises(ArtefactError, match="not an artefact"):
        decode(data, sha256=sha256)


@pytest.mark.parametrize(
    ("x", "y"),
    [
        ([], []),
        ([0.1, 0.2], [0.5]),
        ([0.2, 0.1], [0.1, 0.2]),
        ([0.1, 0.1], [0.1, 0.2]),
        ([0.1, 0.2], [0.2, 0.1]),
        ([0.1, 1.5], [0.1, 0.2]),
        ([0.1, 0.2], [-0.1, 0.2]),
    ],
)
def test_a_calibration_that_is_no_monotone_map_of_probabilities_is_refused(x: list[float], y: list[float]) -> None:
    data, sha256 = changed(calibration__x=x, calibration__y=y)
    with pytest.raises(ArtefactError, match="calibration"):
        decode(data, sha256=sha256)


@pytest.mark.parametrize(
    ("raw", "calibrated"), [(0.0, 0.1), (0.2, 0.1), (0.3, 0.3), (0.4, 0.5), (0.6, 0.7), (0.8, 0.9), (1.0, 0.9)]
)
def test_calibration_goes_in_straight_lines_and_is_flat_outside(raw: float, calibrated: float) -> None:
    assert ARTEFACT.calibration(raw) == pytest.approx(calibrated)


def test_a_base_rate_answers_the_same_for_everything() -> None:
    constant = Calibration(method="base_rate", x=[0.5], y=[0.7])
    assert {constant(raw / 10) for raw in range(11)} == {0.7}


@given(st.floats(0, 1), st.floats(0, 1))
def test_calibration_never_turns_an_order_around(a: float, b: float) -> None:
    low, high = sorted((a, b))
    assert ARTEFACT.calibration(low) <= ARTEFACT.calibration(high)


def test_trees_that_may_not_be_served_are_refused_with_their_reason() -> None:
    data, sha256 = changed(booster=ARTEFACT.booster.replace("2.5", "nan"))
    with pytest.raises(ArtefactError, match="booster: tree 0: a threshold that is not finite"):
        decode(data, sha256=sha256)


def test_what_stands_around_the_trees_does_not_reach_lightgbm() -> None:
    """Parameters in a model's text can name files to read."""
    data, sha256 = changed(booster=ARTEFACT.booster + "parameters:\n[forcedsplits_filename: /etc/passwd]\n")
    assert decode(data, sha256=sha256) == ARTEFACT
