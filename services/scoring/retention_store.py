"""The SQL of letting go: what scoring keeps for a time only. Rows that somebody holds are left to the next round."""

from services.scoring.outcomes_store import SCHEMA
from services.scoring.settings import ScoringSettings
from shared.generations import FIXES
from shared.outbox import inbox_rule
from shared.retention import Rule

# An import is as old as its arrival here: by the time of its commits it would lose its diffs at once.
DIFFS = """
update scoring.agent_auto_fixes set diff = null where id = any(array(
  select id from scoring.agent_auto_fixes
  where diff is not null and scored_at < now() - make_interval(days => $1)
  order by scored_at limit $2 for update skip locked))
returning id
"""
# History stays: it is counts by day, and knows no fix.
FIX_ROWS = """
with old as materialized (
  select id from scoring.agent_auto_fixes where submitted_at < now() - make_interval(days => $1)
  order by submitted_at limit $2 for update skip locked
), told as (
  delete from scoring.fix_outcomes where fix_id = any(array(select id from old))
)
delete from scoring.agent_auto_fixes where id = any(array(select id from old)) returning id
"""
REFUSED = """
delete from scoring.fix_outcomes where outcome_id in (
  select outcome_id from scoring.fix_outcomes
  where state = 'refused' and reported_at < now() - make_interval(days => $1)
  order by reported_at limit $2 for update skip locked)
returning outcome_id
"""


def rules(settings: ScoringSettings) -> list[Rule]:
    return [
        inbox_rule(SCHEMA),
        Rule("diffs", settings.diff_days, DIFFS),  # no answer shows them
        Rule("refused_reports", settings.refused_report_days, REFUSED),
        Rule("fixes", settings.fix_days, FIX_ROWS, FIXES),
    ]
