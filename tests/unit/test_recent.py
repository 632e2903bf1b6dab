"""What was just read is not read again, for half a second and no longer."""

from collections.abc import Mapping
from datetime import UTC, datetime

import pytest

from services.scoring import recent
from services.scoring.history import Event
from services.scoring.recent import KEPT_SECONDS, Recent
from shared.features.history import Key, Past, keys_of

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Stored:
    """A store whose past grows, and a clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.asked: list[list[Key]] = []
        self.changes, self.seconds = 1, 100.0

    async def read(self, event: Event) -> Mapping[Key, Past]:
        self.asked.append(event.keys)
        return {key: Past(changes=self.changes) for key in event.keys if key.name != "new.py"}

    def clock(self) -> float:
        return self.seconds


def event(*paths: str, repository: str = "acme/shop") -> Event:
    return Event(keys_of(repository, None, "claude", paths), NOW, None)


async def test_a_list_reads_what_it_shares_once_and_each_gets_its_own() -> None:
    stored = Stored()
    found = await Recent(stored.read, stored.clock).pasts([event("a.py"), event("a.py", "b.py"), event("new.py")])
    [asked] = stored.asked
    assert len(asked) == len(set(asked)) == 9
    assert [sorted(key.name for key in past if key.scope == "file" and key.name != "/") for past in found] == [
        ["a.py"],
        ["a.py", "b.py"],
        [],
    ]


async def test_within_half_a_second_only_what_is_new_is_read() -> None:
    stored = Stored()
    asking = Recent(stored.read, stored.clock)
    await asking.pasts([event("a.py", "new.py")])
    stored.changes, stored.seconds = 2, stored.seconds + KEPT_SECONDS - 0.01
    [again] = await asking.pasts([event("a.py", "b.py", "new.py")])
    assert [key.name for key in stored.asked[1]] == ["b.py"]
    known = {key.name: past.changes for key, past in again.items() if key.scope == "file"}
    assert known == {"/": 1, "a.py": 1, "b.py": 2}


async def test_after_that_it_is_read_again() -> None:
    stored = Stored()
    asking = Recent(stored.read, stored.clock)
    await asking.pasts([event("a.py")])
    stored.changes, stored.seconds = 2, stored.seconds + KEPT_SECONDS
    [again] = await asking.pasts([event("a.py")])
    assert {past.changes for past in again.values()} == {2}


async def test_its_size_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent, "MOST_KEYS", 10)
    stored = Stored()
    asking = Recent(stored.read, stored.clock)
    for number in range(50):
        await asking.pasts([event(f"{number}.py", repository=f"acme/{number}")])
        assert len(asking._known) <= 10
