"""A client of `/v1/events`, as a browser's is: it keeps the last id, and comes back with it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from tests.world import Api, eventually

HEARD_SECONDS = 10.0


@dataclass(frozen=True)
class Heard:
    id: str
    event: str
    data: dict[str, Any]


class Listener:
    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self.last_id = ""
        self._lines = answer.aiter_lines()

    async def block(self) -> dict[str, str]:
        """The fields of the next block, which may be a heartbeat's."""
        fields: dict[str, str] = {}
        async for line in self._lines:
            if not line:
                self.last_id = fields.get("id", self.last_id)
                return fields
            name, _, value = line.partition(":")
            fields[name] = value.strip()
        raise StopAsyncIteration

    async def hear(self) -> Heard:
        while True:
            fields = await asyncio.wait_for(self.block(), HEARD_SECONDS)
            if "data" in fields:
                return Heard(fields["id"], fields["event"], json.loads(fields["data"]))

    async def hear_many(self, count: int) -> list[Heard]:
        return [await self.hear() for _ in range(count)]

    async def ended(self) -> bool:
        """Whether the gateway ends the stream properly, within the time that an event may take."""
        try:
            while True:
                await asyncio.wait_for(self.block(), HEARD_SECONDS)
        except StopAsyncIteration:
            return True
        except (TimeoutError, httpx.HTTPError):
            return False


async def reading(api: Api) -> Api:
    """Once its streams of events are open."""

    async def open_() -> bool:
        async with listening(api) as listener:
            return listener.answer.status_code == 200

    await eventually(open_)
    return api


@asynccontextmanager
async def listening(
    api: Api, last_id: str | None = None, as_: str = "owner", **filters: Any
) -> AsyncIterator[Listener]:
    """Leaves at the end of the block without a word, like a client that is cut off."""
    if as_ not in api.keys:
        api.keys[as_] = await api.world.key(as_)
    headers = {"Authorization": f"Bearer {api.keys[as_]}"} | ({"Last-Event-ID": last_id} if last_id else {})
    async with api.client.stream("GET", "/v1/events", params=filters, headers=headers) as answer:
        if answer.status_code != 200:
            await answer.aread()
        listener = Listener(answer)
        if answer.status_code == 200:
            await asyncio.wait_for(listener.block(), HEARD_SECONDS)
        yield listener
