"""Every read that is served, with values that are common, middling, rare and of no row: what `bench_data` asks."""

from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from hashlib import md5
from itertools import product
from typing import Any
from uuid import UUID

from services.gateway.knowledge_queries import KnowledgeQueries
from services.gateway.model_queries import ModelQueries
from services.gateway.page_queries import Keyset
from services.gateway.queries import Queries
from services.gateway.served import COLLABORATIONS, FIXES, LEARNINGS
from services.gateway.stats_queries import StatsQueries
from shared.database import Database

Ask = Callable[[], Awaitable[object]]
LIMIT = 100
# A page at the beginning, and one in the middle.
PLACES = (None, Keyset(datetime(2026, 3, 1, tzinfo=UTC), UUID(int=5)))


def word(number: int) -> str:
    """As `seed_large` makes them."""
    return f"{number * 40503 % 65536:04x}".translate(str.maketrans("0123456789abcdef", "abcdefghiklmnopr"))


def seeded(kind: str, number: int) -> UUID:
    return UUID(md5(f"{kind}{number}".encode(), usedforsecurity=False).hexdigest())


COMMON, MIDDLING, RARE = word(1), word(60), word(3000)
VALUES: dict[str, tuple[Any, ...]] = {
    "agent_id": ("agent-1", "agent-10", "agent-49", "nobody"),
    "repository": ("owner/name-1", "owner/name-50", "owner/name-499"),
    "category": ("bug-fix", "security"),
    "domain": ("domain-1", "domain-31", "domain-100", "domain-900", "none"),
    "q": ("fix", COMMON, MIDDLING, RARE, f"{COMMON} & {MIDDLING}", "nothing"),
    "pattern_id": (seeded("pattern", 1), seeded("pattern", 1000)),
    "collaboration_type": ("review",),
}
STATUSES = {
    FIXES.path: ("scored", "succeeded", "failed", "rejected"),
    LEARNINGS.path: ("active", "superseded", "held"),
    COLLABORATIONS.path: ("open", "resolved", "expired"),
}


def reads(database: Database) -> Iterator[tuple[str, list[Ask]]]:
    """(name, ways to ask it)."""
    queries, knowledge, stats = Queries(database), KnowledgeQueries(database), StatsQueries(database)
    lists = {FIXES: queries.fixes, LEARNINGS: knowledge.learnings, COLLABORATIONS: knowledge.collaborations}
    for served, pages in lists.items():
        values = VALUES | {"status": STATUSES[served.path]}
        for names in ((), *map(sorted, served.combinations)):
            chosen = product(*(values[name] for name in names))
            asks = [ask(pages, dict(zip(names, v, strict=True)), at, LIMIT) for v in chosen for at in PLACES]
            yield f"`{served.path}` {' + '.join(f'`{name}`' for name in names)}".strip(), asks
    yield "`/v1/fixes/{id}`", [ask(queries.fix, seeded("fix", n)) for n in range(1, 900_000, 90_001)]
    yield "`/v1/learnings/{id}`", [ask(knowledge.learning, seeded("learning", n)) for n in range(1, 900_000, 90_001)]
    yield "`/v1/learnings/held`", [ask(knowledge.held, at, LIMIT) for at in PLACES]
    yield "`/v1/learnings/{id}/versions`", [ask(knowledge.versions, seeded("learning", 1))]
    yield "`/v1/learnings/handbook`", [ask(knowledge.handbook, domain) for domain in (None, "domain-1", "domain-900")]
    yield "`/v1/patterns`", [ask(knowledge.patterns, at, LIMIT) for at in PLACES]
    yield "`/v1/patterns/{id}`", [ask(knowledge.pattern, seeded("pattern", n)) for n in (1, 1000, 40_000)]
    yield "`/v1/collaborations/{id}`", [ask(knowledge.collaboration, seeded("case", n)) for n in (1, 50_000)]
    yield "`/v1/stats/agents`", [ask(stats.agents, None, None, 0, LIMIT), ask(stats.agents, "agent-1", None, 0, LIMIT)]
    yield "`/v1/stats/collaborations`", [ask(stats.collaborations)]
    yield "`/v1/stats/overview`", [ask(stats.overview)]
    yield "`/v1/thresholds`", [ask(ModelQueries(database).thresholds, "owner/name-1")]
    yield "`/v1/models/{version}/calibration`", [ask(ModelQueries(database).calibration, "confidence-0")]


def ask(read: Callable[..., Awaitable[object]], *arguments: Any) -> Ask:
    return lambda: read(*arguments)
