"""The connection pool. It connects when first used, so a process can start while Postgres is away."""

import asyncio
from typing import Any

import asyncpg
import msgspec
from asyncpg.pool import PoolConnectionProxy

from shared.settings import Settings

Connection = asyncpg.Connection | PoolConnectionProxy

CONNECT_SECONDS = 3.0
PING_SECONDS = 2.0


async def _speak_json(connection: Any) -> None:
    await connection.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        encoder=lambda value: b"\x01" + msgspec.json.encode(value),
        decoder=lambda data: msgspec.json.decode(data[1:]),
        format="binary",
    )


def storable(text: str) -> str:
    """`text` without what Postgres cannot hold."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


class Database:
    """`pool` for work, `alive()` to tell an outage from an error of ours."""

    def __init__(self, settings: Settings, service: str) -> None:
        self._settings = settings
        self._service = service
        self._ping: asyncio.Task[bool] | None = None
        self.pool: asyncpg.Pool

    async def open(self) -> None:
        self.pool = await asyncpg.create_pool(
            self._settings.database_url,
            min_size=0,
            max_size=self._settings.pool_size,
            timeout=CONNECT_SECONDS,
            command_timeout=self._settings.statement_timeout_seconds,
            init=_speak_json,
            server_settings={"application_name": f"precedent-{self._service}"},
        )

    async def close(self) -> None:
        try:
            await asyncio.wait_for(self.pool.close(), PING_SECONDS)
        except (TimeoutError, asyncpg.InterfaceError):
            self.pool.terminate()

    async def alive(self) -> bool:
        """Whether Postgres answers now. Callers at the same moment share one question."""
        if self._ping is None or self._ping.done():
            self._ping = asyncio.create_task(self._ask())
        return await asyncio.shield(self._ping)

    async def _ask(self) -> bool:
        try:
            return bool(await asyncio.wait_for(self.pool.fetchval("select true"), PING_SECONDS))
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return False
