"""The SQL of letting go: what the trainer keeps for a time only. Models and promotions are for ever."""

from services.trainer.settings import TrainerSettings
from services.trainer.store import SCHEMA
from shared.outbox import inbox_rule
from shared.retention import Rule

# The last run that stands for itself says since when outcomes are new.
RUNS = """
delete from trainer.training_runs where run_id in (
  select run_id from trainer.training_runs r where finished_at < now() - make_interval(days => $1)
    and exists (select from trainer.training_runs n
      where n.kind = r.kind and n.joined_run_id is null and n.created_at > r.created_at)
  order by finished_at limit $2 for update skip locked)
returning run_id
"""


def rules(settings: TrainerSettings) -> list[Rule]:
    return [inbox_rule(SCHEMA), Rule("training_runs", settings.training_run_days, RUNS)]
