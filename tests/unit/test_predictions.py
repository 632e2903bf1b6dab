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
