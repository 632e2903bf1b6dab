"""What can be switched while everything runs: one table, and its present state in the JetStream bucket `flags`."""

import asyncio
import logging
from datetime import UTC, datetime
from typing import Literal

import msgspec
import nats
from nats.js.kv import KeyValue

from shared.bus import Bus
from shared.topology import FLAGS_BUCKET

FlagName = Literal[
    "cache", "compression", "coalescing", "shedding", "model_scoring", "auto_promotion", "drift_requests"
]
RETRY_SECONDS = 1.0

log = logging.getLogger(__name__)


class Flag(msgspec.Struct, frozen=True, kw_only=True):
    name: FlagName
    default: bool
    does: str


FLAGS = (
    Flag(name="cache", default=True, does="answers reads from the response cache"),
    Flag(name="compression", default=True, does="compresses answers for callers who accept it"),
    Flag(name="coalescing", default=True, does="sends concurrent confidence requests to scoring as one list"),
    Flag(name="shedding", default=True, does="refuses the least urgent requests first when there are too many"),
    Flag(name="model_scoring", default=True, does="scores with the promoted model; off, the formula answers"),
    Flag(name="auto_promotion", default=True, does="promotes a newly trained model that measures better"),
    Flag(name="drift_requests", default=True, does="asks for a retraining after a drift or enough outcomes"),
)


class Setting(msgspec.Struct, frozen=True):
    """The value of a key in the bucket: what somebody chose, in place of the default."""

    on: bool
    by: str | None = None


class Chosen(msgspec.Struct, frozen=True):
    setting: Setting
    at: datetime


class Flags:
    """A replica's view of the flags: a change is heard in milliseconds, and an outage leaves what was last known."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._on: dict[str, bool] = {flag.name: flag.default for flag in FLAGS}
        self._chosen: dict[str, Chosen] = {}
        self._watcher: KeyValue.KeyWatcher | None = None
        self.known = asyncio.Event()
        bus.on_reconnect.append(self._watch_again)

    def on(self, name: FlagName) -> bool:
        """A dictionary's look-up: cheap enough for every request."""
        return self._on[name]

    def chosen(self, name: FlagName) -> Chosen | None:
        """None while the default holds."""
        return self._chosen.get(name)

    async def set(self, name: FlagName, setting: Setting) -> None:
        """Returns when the setting is on disk and holds here; the other replicas hear of it."""
        bucket = await self._bus.js.key_value(FLAGS_BUCKET)
        await bucket.put(name, msgspec.json.encode(setting))
        self._hold(name, Chosen(setting, datetime.now(UTC)))

    async def follow(self) -> None:
        """Runs until cancelled; `known` is set once the present state was heard."""
        while True:
            try:
                await self._watch()
            except (nats.errors.Error, OSError) as error:
                log.warning("the flags stay as they are: %s", error or type(error).__name__)
                await asyncio.sleep(RETRY_SECONDS)

    async def _watch(self) -> None:
        """The last setting of each flag, and then every change, until the watcher is stopped."""
        bucket = await self._bus.js.key_value(FLAGS_BUCKET)
        watcher = self._watcher = await bucket.watchall()
        async for entry in watcher:
            if isinstance(entry, KeyValue.Entry):
                self._heard(entry)
            else:
                self.known.set()

    async def _watch_again(self) -> None:
        """The server forgets its watchers when it restarts; a new one begins with the present state."""
        if self._watcher is not None:
            await self._watcher.stop()  # type: ignore[no-untyped-call]

    def _heard(self, entry: KeyValue.Entry) -> None:
        if entry.key not in self._on:
            return
        try:
            setting = msgspec.json.decode(entry.value or b"", type=Setting) if entry.operation is None else None
        except msgspec.MsgspecError as error:
            log.warning("the flag %s stays as it is: its setting is not readable: %s", entry.key, error)
            return
        self._hold(entry.key, Chosen(setting, _written(entry)) if setting else None)

    def _hold(self, name: str, chosen: Chosen | None) -> None:
        if chosen is None:
            self._chosen.pop(name, None)
            self._on[name] = next(flag.default for flag in FLAGS if flag.name == name)
        else:
            self._chosen[name] = chosen
            self._on[name] = chosen.setting.on
        log.info("flag %s is %s", name, "on" if self._on[name] else "off")


def _written(entry: KeyValue.Entry) -> datetime:
    """The bucket's time of the entry. The client declares a number and hands over a datetime."""
    created: object = entry.created
    return created if isinstance(created, datetime) else datetime.now(UTC)
