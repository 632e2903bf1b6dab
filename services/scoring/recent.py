"""What was just read of the past, for whoever asks again within half a second: only for scores that nobody stores.

A burst of questions is mostly about one repository and a few people. An answer that rests on the past of half a second
ago is the one that the same question had then.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence

from services.scoring.history import Event
from shared.features.history import Key, Past

KEPT_SECONDS = 0.5
# About 10 MB; beyond it everything is forgotten, which costs one statement.
MOST_KEYS = 20_000


class Recent:
    """`read` gives the stored past of the keys of one event; `clock` counts seconds."""

    def __init__(self, read: Callable[[Event], Awaitable[Mapping[Key, Past]]], clock: Callable[[], float]) -> None:
        self._read, self._clock = read, clock
        self._known: dict[Key, tuple[float, Past | None]] = {}

    async def pasts(self, events: Sequence[Event]) -> list[dict[Key, Past]]:
        """The past of each event's keys; a key without one is absent. All of one time: now."""
        now = self._clock()
        known = {key: found for event in events for key in event.keys if (found := self._known.get(key))}
        fresh = {key: past for key, (until, past) in known.items() if until > now}
        missing = list({key: None for event in events for key in event.keys if key not in fresh})
        if missing:
            read = await self._read(Event(keys=missing, as_of=events[0].as_of, failed_at=None))
            fresh |= {key: read.get(key) for key in missing}
            self._keep(fresh, missing, now + KEPT_SECONDS)
        return [{key: past for key in event.keys if (past := fresh[key]) is not None} for event in events]

    def _keep(self, fresh: Mapping[Key, Past | None], keys: Sequence[Key], until: float) -> None:
        if len(self._known) + len(keys) > MOST_KEYS:
            self._known.clear()
        self._known.update({key: (until, fresh[key]) for key in keys})
