"""What the write of a group costs beside COPY of its rows into the table alone, indexes and durability the same."""

import time
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import asyncpg
from prometheus_client import CollectorRegistry

from services.scoring.answers import Answers
from services.scoring.domain import change_of
from services.scoring.handlers import Handlers, Heard, imported_outcome, scored_event
from services.scoring.metrics import ScoringMetrics
from services.scoring.outcomes import Judgement
from services.scoring.outcomes_store import OutcomesStore
from services.scoring.settings import ScoringSettings
from services.scoring.store import Store
from shared.bus import Bus
from shared.contracts.envelope import Envelope
from shared.contracts.fixes import FixSubmitted
from shared.database import Database
from shared.generations import Generations
from shared.grouping import MAX_GROUP
from shared.ids import new_id
from shared.outbox import Outbox
from shared.slot import Slot

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SCHEMA, TABLE = "scoring", "agent_auto_fixes"
# A column that Postgres makes of others.
MADE_THERE = "words"


async def nothing() -> None:
    pass


class WriteStep:
    """Writes by the service's own code, in its role."""

    def __init__(self, settings: ScoringSettings) -> None:
        registry = CollectorRegistry()
        bus, self._database = Bus(settings, "scoring"), Database(settings, "scoring", registry=registry)
        metrics = ScoringMetrics(registry)
        self._store = Store(self._database)
        slot: Slot[Any] = Slot("confidence", None, None, metrics.model_faults.inc, None)  # type: ignore[arg-type]
        self._answers = Answers(slot, lambda: True, nothing, metrics)
        outbox = Outbox(bus, self._database, SCHEMA, Generations(settings.redis_url))
        outcomes = OutcomesStore(self._database)
        self._handlers = Handlers(self._store, outcomes, self._answers, outbox, bus, metrics, lambda: None)

    async def open(self) -> None:
        await self._database.open()
        await self._answers.decide_by(await self._store.thresholds())

    async def close(self) -> None:
        await self._database.close()

    async def __call__(self, fixes: Sequence[FixSubmitted]) -> dict[str, float]:
        """Rows a second of each way; the rows of `fixes` are gone afterwards."""
        groups = [fixes[at : at + MAX_GROUP] for at in range(0, len(fixes), MAX_GROUP)]
        rates = {}
        for name, outcomes in (("write step with outcomes", True), ("write step", False)):
            prepared = [await self._prepared(group, outcomes) for group in groups]
            rates[name] = len(fixes) / await seconds(self._store.record(*each, self._announce) for each in prepared)
            gone = await self._forget(fixes)
            rows = [{name: value for name, value in row.items() if name != MADE_THERE} for row in gone]
        for name, size in (("COPY, as many a commit", MAX_GROUP), ("COPY, all at once", len(rows))):
            rates[name] = len(fixes) / await seconds(
                self._copy(rows[at : at + size]) for at in range(0, len(rows), size)
            )
            await self._forget(fixes)
        return rates

    async def _prepared(self, fixes: Sequence[FixSubmitted], outcomes: bool) -> tuple[Any, ...]:
        """What `Store.record` is given."""
        changes = [change_of(fix, NOW) for fix in fixes]
        group = [Heard(new_id(), f, c, c.event(), {}) for f, c in zip(fixes, changes, strict=True)]
        pasts, _ = await self._store.pasts([h.event for h in group])
        scored = self._handlers._score(list(zip(group, pasts, strict=True)))
        said = [self._handlers.bus.seal(scored_event(s)) for s in scored]
        reports = [report for h in group if outcomes and (report := imported_outcome(h.fix, NOW))]
        return scored, said, [h.event_id for h in group], reports

    def _announce(self, judged: Sequence[Judgement]) -> list[Envelope]:
        return self._handlers.announce({}, judged)

    async def _copy(self, rows: Sequence[Mapping[str, Any]]) -> None:
        await self._database.pool.copy_records_to_table(
            TABLE, schema_name=SCHEMA, records=[tuple(row.values()) for row in rows], columns=list(rows[0])
        )

    async def _forget(self, fixes: Sequence[FixSubmitted]) -> list[asyncpg.Record]:
        """What was stored, which is deleted."""
        async with self._database.pool.acquire() as connection:
            found = await connection.fetch(
                f"delete from {SCHEMA}.{TABLE} where id = any($1::uuid[]) returning *", [f.id for f in fixes]
            )
            await connection.execute(
                f"delete from {SCHEMA}.fix_outcomes where fix_id = any($1::uuid[])", [f.id for f in fixes]
            )
        return found


async def seconds(steps: Iterator[Coroutine[Any, Any, Any]]) -> float:
    """Of all of them, one after the other."""
    started = time.perf_counter()
    for step in steps:
        await step
    return time.perf_counter() - started
