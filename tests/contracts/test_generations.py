"""A command or an event that nobody has thought of would leave old answers in the cache."""

from shared.contracts import commands
from shared.generations import COMMANDED, SPOKEN_OF
from tests.architecture.source import ROOT

# They change nothing.
QUESTIONS = {commands.CONFIDENCE, commands.ANALYZE, commands.PATTERN_RELATED}
# They ask for something, or speak of what is not cached.
UNCACHED = {
    "fixes.submitted.v1",
    "fixes.imported.v1",
    "fixes.outcome_reported.v1",
    "patterns.detected.v1",
    "models.retrain_requested.v1",
    "models.promotion_requested.v1",
    "models.training_progressed.v1",
    "models.trained.v1",
}


def test_every_command_says_what_it_changes() -> None:
    known = {value for name, value in vars(commands).items() if name.isupper() and isinstance(value, str)}
    assert known - QUESTIONS == set(COMMANDED)


def test_every_event_says_what_it_speaks_of() -> None:
    golden = {path.name.removesuffix(".json") for path in (ROOT / "tests/contracts/golden").iterdir()}
    assert golden - UNCACHED == set(SPOKEN_OF)
