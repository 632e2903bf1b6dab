"""The reads as one writes them first: what `bench_data` measures ours beside."""

from services.gateway.knowledge_queries import COLLABORATION, LEARNING
from services.gateway.queries import FIX

FIXES_ORDER = "and f.submitted_at is not null order by f.submitted_at desc, f.id desc limit 100"
LEARNINGS_ORDER = "order by l.created_at desc, l.id desc limit 100"
LEARNINGS_BY_DOMAIN = f"{LEARNING} where $1 = any(l.agent_domains) {LEARNINGS_ORDER}"
AGENTS = """
select agent_id, count(*) as fixes, count(*) filter (where status = 'succeeded')::float8
  / nullif(count(*) filter (where status in ('succeeded', 'failed')), 0) as rate,
  avg(confidence) filter (where status in ('succeeded', 'failed')) as expected_rate, max(submitted_at)
from scoring.agent_auto_fixes where agent_id is not null group by agent_id order by agent_id limit 100
"""
COLLABORATIONS = """
select collaboration_type, status, count(*),
  percentile_cont(0.5) within group (order by extract(epoch from closed_at - created_at))
from patterns.agent_collaborations group by collaboration_type, status
"""
# Path and query of the API: what was asked of Postgres for it, and with what.
MIX: dict[str, tuple[str, tuple[str, ...]]] = {
    "/v1/fixes": (f"{FIX} where true {FIXES_ORDER}", ()),
    "/v1/fixes?agent_id=agent-1": (f"{FIX} where f.agent_id = $1 {FIXES_ORDER}", ("agent-1",)),
    "/v1/fixes?repository=owner/name-50": (f"{FIX} where f.repository = $1 {FIXES_ORDER}", ("owner/name-50",)),
    "/v1/fixes?status=failed": (f"{FIX} where f.status = $1 {FIXES_ORDER}", ("failed",)),
    "/v1/fixes?category=security": (
        f"{FIX} where coalesce(p.corrected_category, p.category, f.category) = $1 {FIXES_ORDER}",
        ("security",),
    ),
    "/v1/fixes?domain=domain-1": (f"{FIX} where $1 = any(f.domains) {FIXES_ORDER}", ("domain-1",)),
    "/v1/fixes?domain=domain-900": (f"{FIX} where $1 = any(f.domains) {FIXES_ORDER}", ("domain-900",)),
    "/v1/fixes?q={middling}": (f"{FIX} where strpos(lower(f.title), lower($1)) > 0 {FIXES_ORDER}", ("{middling}",)),
    "/v1/learnings?domain=domain-1": (LEARNINGS_BY_DOMAIN, ("domain-1",)),
    "/v1/learnings?domain=domain-900": (LEARNINGS_BY_DOMAIN, ("domain-900",)),
    "/v1/learnings?q={rare}": (
        f"{LEARNING} where strpos(lower(l.title || ' ' || l.body), lower($1)) > 0 {LEARNINGS_ORDER}",
        ("{rare}",),
    ),
    "/v1/collaborations?agent_id=agent-10": (
        f"{COLLABORATION} where exists (select from patterns.collaboration_members m where m.collaboration_id = c.id "
        "and m.agent_id = $1) order by c.created_at desc, c.id desc limit 100",
        ("agent-10",),
    ),
    "/v1/stats/agents": (AGENTS, ()),
    "/v1/stats/collaborations": (COLLABORATIONS, ()),
}
