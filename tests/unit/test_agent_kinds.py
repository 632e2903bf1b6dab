"""A metric label is one of a closed set, whatever an agent calls itself."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.agents import KINDS, agent_kind

LABELS = {kind for _, kind in KINDS} | {"other"}


@pytest.mark.parametrize(
    ("agent_id", "kind"),
    [
        ("claude", "claude"),
        ("Claude_Code", "claude"),
        ("copilot-swe-agent[bot]", "copilot"),
        ("acme/devin", "devin"),
        ("renovate[bot]", "renovate"),
        ("human", "human"),
    ],
)
def test_an_agent_is_known_by_a_word_of_its_id(agent_id: str, kind: str) -> None:
    assert agent_kind(agent_id) == kind


@pytest.mark.parametrize("agent_id", ["example-bot", "claudette", "stamper", "", "fixer"])
def test_a_part_of_a_word_is_not_enough(agent_id: str) -> None:
    assert agent_kind(agent_id) == "other"


@given(st.text())
def test_no_id_makes_a_label_of_its_own(agent_id: str) -> None:
    assert agent_kind(agent_id) in LABELS
