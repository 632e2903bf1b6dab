"""How the model in use turns out, and the word to the trainer when it should learn again."""

import logging
from collections.abc import Callable
from datetime import datetime

from services.scoring import drift
from services.scoring.metrics import ScoringMetrics
from services.scoring.queries import Queries
from shared.bus import Bus
from shared.contracts.models import ModelKind, RetrainRequested
from shared.features.fix_type import declared_category
from shared.ids import derived_id

# Of the newest outcomes: enough to tell an error of one percent, few enough to be read every minute.
RECENT_OUTCOMES = 5_000
# Fewer say nothing about calibration.
MIN_OUTCOMES = 100
# More than that, and whatever a champion learned from, enough was told.
MOST_TOLD = 20_000

log = logging.getLogger(__name__)


class Watch:
    def __init__(
        self,
        queries: Queries,
        bus: Bus,
        metrics: ScoringMetrics,
        asking: Callable[[], bool],
        now: Callable[[], datetime],
    ) -> None:
        """`asking` says whether runs are asked for at all."""
        self._queries, self._bus, self._metrics, self._asking, self._now = queries, bus, metrics, asking, now

    async def look(self) -> None:
        """Once a minute. Of all replicas that look at the same moment, one asks."""
        version = await self._queries.champion_version("confidence")
        shift = None
        if version is not None:
            await self._measure(version)
            shift = drift.shift(*await self._queries.scores(version, drift.WINDOW))
            self._metrics.shifted(shift)
        if self._asking():
            await self._ask("confidence", version, shift)
            await self._ask("category", await self._queries.champion_version("category"))

    async def _measure(self, version: str) -> None:
        count, error = await self._queries.calibration_error(version, RECENT_OUTCOMES)
        self._metrics.turned_out(count, error if count >= MIN_OUTCOMES else None)

    async def _ask(self, kind: ModelKind, version: str | None, shift: float | None = None) -> None:
        last_run, last_run_at, learned = await self._queries.last_run(kind, version)
        new, importing = await self._queries.news(last_run_at, drift.enough(learned))
        if kind == "category":
            types = await self._queries.told_types(last_run_at, MOST_TOLD)
            new = sum(count for fix_type, count in types.items() if declared_category(fix_type))
        found = drift.Situation(
            kind=kind, now=self._now(), last_run_at=last_run_at, learned=learned, new=new, importing=importing,
            shift=shift,
        )  # fmt: skip
        reason = drift.reason(found)
        if reason is None:
            return
        # The same cause has the same id, whoever sees it and however often: it is one request, and one run.
        run_id = derived_id("retrain", kind, str(last_run), version or "")
        log.info("a new model of %s is asked for: %s", kind, reason)
        await self._bus.publish(RetrainRequested(run_id=run_id, kind=kind, reason=reason, requested_by="scoring"))
