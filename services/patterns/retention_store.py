"""The SQL of letting go: what patterns keeps for a time only. Rows that somebody holds are left to the next round."""

from services.patterns.settings import PatternsSettings
from services.patterns.store import SCHEMA
from shared.generations import FIXES
from shared.outbox import inbox_rule
from shared.retention import Rule

# Citations stay: the counts of the learnings rest on them.
FIX_ROWS = """
delete from patterns.fix_patterns where fix_id in (
  select fix_id from patterns.fix_patterns where submitted_at < now() - make_interval(days => $1)
  order by submitted_at limit $2 for update skip locked)
returning fix_id
"""


def rules(settings: PatternsSettings) -> list[Rule]:
    return [inbox_rule(SCHEMA), Rule("fixes", settings.fix_days, FIX_ROWS, FIXES)]
