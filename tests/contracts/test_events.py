"""Additive only: what was once on the bus can be read by today's classes, and says the same."""

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest

from shared.contracts.envelope import Event, unseal
from shared.contracts.fixes import FixCategorized, FixScored, FixSubmitted, Outcome
from shared.contracts.models import RetrainRequested
from shared.ids import derived_id, fix_id
from tests.contracts.events import EVENTS

DIRECTORY = Path(__file__).parent / "golden"
# subject -> `full`, an event with every field, and `least`, one with the fields that were always required.
GOLDEN: dict[str, dict[str, dict[str, Any]]] = {p.stem: json.loads(p.read_text()) for p in DIRECTORY.glob("*.json")}

# A changed id is another event: every inbox would take what it has already taken once more.
IDS = {
    "fixes.submitted.v1": "ea3c4206-2470-5c17-8bf2-4b0c28310af1",
    "fixes.imported.v1": "88022f98-0387-5292-819e-a21a533d0859",
    "fixes.scored.v1": "8e7344e2-894f-5ccf-9a6f-509adcdd3c6c",
    "fixes.categorized.v1": "6b451507-0a7f-55b0-8639-bf036d1f5f59",
    "fixes.outcome_reported.v1": "9132b6c3-a4d9-56bc-a3ee-79623403874b",
    "fixes.outcome_recorded.v1": "a0df358f-9920-52cf-962a-b80c2853e610",
    "learnings.changed.v1": "776b54d0-e151-5398-a749-3d90ce19c826",
    "collaborations.changed.v1": "eb6a6803-20df-5ad7-8ad5-a3c789c99b94",
    "patterns.detected.v1": "59137902-af84-56bf-9807-3272cd5ef316",
    "models.retrain_requested.v1": "0195a1b2-c3d4-7e5f-8a6b-000000000004",
    "models.promotion_requested.v1": "0195a1b2-c3d4-7e5f-8a6b-000000000004",
    "models.training_progressed.v1": "88f520e5-1563-5d0d-b2f2-1ed4659d22ee",
    "models.trained.v1": "1bde852e-9592-58f8-8a5f-30e2d6324f16",
    "models.promoted.v1": "aea632e2-8d63-5ed5-af4b-77a4a9653629",
}

every_event = pytest.mark.parametrize("subject", sorted(GOLDEN))


def golden(subject: str, size: str = "full") -> Event:
    return unseal(EVENTS[subject], json.dumps(GOLDEN[subject][size]).encode())


def encoded(event: Event) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(msgspec.json.encode(event))
    return document


def test_every_event_has_a_golden_file_and_every_golden_file_an_event() -> None:
    assert set(GOLDEN) == set(EVENTS)


@every_event
def test_a_golden_event_is_encoded_as_it_was(subject: str) -> None:
    document = GOLDEN[subject]["full"]
    now = encoded(golden(subject))
    assert {name: now.get(name, "vanished") for name in document} == document


@every_event
def test_the_golden_file_shows_every_field(subject: str) -> None:
    """A field that is new is added to the golden file, from where it may not go again."""
    assert set(GOLDEN[subject]["full"]) == {f.encode_name for f in msgspec.structs.fields(EVENTS[subject])}


@every_event
def test_no_field_has_become_required(subject: str) -> None:
    least = GOLDEN[subject]["least"]
    assert encoded(golden(subject, "least")).items() >= least.items()


@every_event
def test_an_unknown_field_is_passed_over(subject: str) -> None:
    """Old consumers meet new producers during every roll-out; in nested objects too."""
    document = json.loads(json.dumps(GOLDEN[subject]["full"]))
    for part in (document, *(value for name, value in document.items() if isinstance(value, dict))):
        if part is not document.get("features"):
            part["from_the_future"] = {"any": ["thing"]}
    assert unseal(EVENTS[subject], json.dumps(document).encode()) == golden(subject)


@every_event
def test_the_id_of_an_event_never_changes(subject: str) -> None:
    assert golden(subject).event_id() == UUID(IDS[subject])


def test_derived_ids_never_change() -> None:
    assert fix_id("acme/shop", "4f1c2d") == UUID("fc4ab2d8-ecaf-55f4-9b3d-651826d1f36d")
    assert derived_id("a", "bc") == UUID("4bf4a74a-ff1d-55a4-8c27-da13bc1fa7c9")


def test_a_new_outcome_makes_a_re_import_another_event_and_a_plain_repeat_does_not() -> None:
    fix = msgspec.structs.replace(golden("fixes.submitted.v1"), outcome=None)
    assert isinstance(fix, FixSubmitted)
    again = msgspec.structs.replace(fix, title="another title")
    held = msgspec.structs.replace(fix, outcome=Outcome(kind="held", observed_at=fix.submitted_at))
    reverted = msgspec.structs.replace(fix, outcome=Outcome(kind="reverted", observed_at=fix.submitted_at))
    assert fix.event_id() == again.event_id()
    assert len({fix.event_id(), held.event_id(), reverted.event_id()}) == 3


def test_a_rejection_and_the_score_after_its_replay_are_two_events() -> None:
    scored = golden("fixes.scored.v1")
    assert isinstance(scored, FixScored)
    rejected = msgspec.structs.replace(scored, status="rejected")
    succeeded = msgspec.structs.replace(scored, status="succeeded")
    assert rejected.event_id() != scored.event_id() == succeeded.event_id()


def test_each_correction_of_a_category_is_an_event_of_its_own() -> None:
    category = golden("fixes.categorized.v1")
    assert isinstance(category, FixCategorized)
    assert len({msgspec.structs.replace(category, revision=n).event_id() for n in range(4)}) == 4


def test_two_kinds_of_event_about_one_entity_have_different_ids() -> None:
    derived = {s: golden(s).event_id() for s in GOLDEN if golden(s).event_id().version == 5}
    assert len(set(derived.values())) == len(derived)


def test_an_empty_object_asks_for_a_confidence_model_and_has_no_id_of_its_own() -> None:
    request = unseal(RetrainRequested, b"{}")
    assert request.kind == "confidence"
    with pytest.raises(ValueError, match="run_id"):
        request.event_id()
