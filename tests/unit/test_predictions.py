"""What is kept of predictions while Redis is away: nothing, and no more than for as long."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import msgspec
import pytest

from services.gateway import predictions
from services.gateway.predictions import Predictions, question_of
from shared.contracts.commands import Candidate, Confidence, Reply
from tests.world import eventually


class Lit:
    def on(self, _: str) -> bool:
        return True


async def say(questions: Sequence[bytes]) -> list[Reply]:
    said = Confidence(
        confidence=0.9, source="model", degraded=False, model_version="confidence-1", evidence=1, low_evidence=True,
        decision="review",
    )  # fmt: skip
    return [Reply(value=msgspec.Raw(msgspec.json.encode(said)))] * len(questions)


@pytest.fixture
async def silent() -> AsyncIterator[str]:
    """The URL of a Redis that takes every connection and says nothing."""
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
    server.close()


async def test_what_fills_up_during_an_outage_is_let_go_so_that_there_is_room_after_it(
    monkeypatch: pytest.MonkeyPatch, silent: str
) -> None:
    monkeypatch.setattr(predictions, "MOST_UNKEPT", 2)
    asked = Predictions(silent, say, None, Lit(), lambda *_: None)  # type: ignore[arg-type]
    asked.champion = "confidence-1"

    async def ask(number: int) -> None:
        question = question_of(Candidate(agent_id=f"agent-{number}", repository="acme/shop", features={}))
        assert await asked.ask(question, (b"generation", None))

    async def room() -> bool:
        return not asked._unkept

    await ask(0)
    await eventually(room)  # on its way, and not answered
    for number in range(1, 5):
        await ask(number)
    assert len(asked._unkept) == 2
    await eventually(room)
    await asked.close()


class Moved:
    """Generations that nobody has to be asked for."""

    async def of(self, keys: Sequence[str]) -> tuple[bytes, ...]:
        return (b"new",) * len(keys)


@pytest.fixture
async def champion(silent: str) -> AsyncIterator[Predictions]:
    made = Predictions(silent, say, Moved(), Lit(), lambda *_: None)  # type: ignore[arg-type]
    made.champion = "confidence-1"
    yield made
    await made.close()


QUESTION = question_of(Candidate(agent_id="claude", repository="acme/shop", features={}))


async def test_nothing_is_asked_ahead_until_it_could_be_kept(champion: Predictions) -> None:
    assert champion.ahead(QUESTION) is None
    champion.known((b"generation", None))
    assert champion.ahead(QUESTION) is not None


@pytest.mark.parametrize(("found", "kept"), [(b"generation", True), (b"moved", False), (None, False)])
async def test_what_was_asked_ahead_is_kept_where_nothing_moved_meanwhile(
    champion: Predictions, found: bytes | None, kept: bool
) -> None:
    champion.known((b"generation", None))
    ahead = champion.ahead(QUESTION)
    assert ahead is not None
    assert b"0.9" in await champion.ask(QUESTION, (found, None), ahead)
    assert (QUESTION.key in champion._unkept) is kept


async def test_a_question_is_new_once(champion: Predictions) -> None:
    assert [champion.is_new(QUESTION) for _ in range(3)] == [True, False, False]
