"""The model slot: one reference that every answer reads, replaced whole while answers go on."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Generic, Protocol, TypeVar

from shared.artefacts import ArtefactError
from shared.contracts.models import ModelKind, ModelPromoted

log = logging.getLogger(__name__)


class Named(Protocol):
    """A model under its name in the registry."""

    @property
    def version(self) -> str | None: ...

    @property
    def sha256(self) -> str: ...


M = TypeVar("M", bound=Named | None)


class Slot(Generic[M]):
    """Holds the model that answers, and the one before it."""

    def __init__(
        self,
        kind: ModelKind,
        fetch: Callable[[str], Awaitable[Any]],
        load: Callable[[str, str, Any], M],
        failed: Callable[[], None],
        initial: M,
    ) -> None:
        """`fetch(sha256)` brings an artefact; `load(version, sha256, artefact)`, in a thread, makes a warm model of it.

        Both raise `ArtefactError`; `failed` then counts. `initial` answers until a model is served.
        """
        self._kind, self._fetch, self._load, self._failed = kind, fetch, load, failed
        self._promotion_id = 0
        self._lock = asyncio.Lock()
        self.current = initial
        self.previous: M | None = None

    async def serve(self, promoted: ModelPromoted) -> bool:
        """Loads and warms the promoted model, then switches. On any fault the old one keeps answering."""
        async with self._lock:
            if promoted.kind != self._kind or promoted.promotion_id <= self._promotion_id:
                return False
            try:
                model = await self._model(promoted)
            except ArtefactError as error:
                log.error("model %s is not served: %s", promoted.version, error)
                self._failed()
                return False
            # The one assignment that readers see; a group under way keeps the reference it took.
            self.current, self.previous = model, self.current
            self._promotion_id = promoted.promotion_id
            log.info("model %s answers from now on", promoted.version)
            return True

    async def _model(self, promoted: ModelPromoted) -> M:
        """A rollback needs no store: the model before this one is still here."""
        name = (promoted.version, promoted.sha256)
        if self.previous is not None and (self.previous.version, self.previous.sha256) == name:
            return self.previous
        artefact = await self._fetch(promoted.sha256)
        return await asyncio.to_thread(self._load, *name, artefact)
