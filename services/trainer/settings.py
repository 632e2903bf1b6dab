"""The trainer's settings: how long it keeps what. See docs/retention.md."""

from dataclasses import dataclass

from shared.settings import Days, Settings, env


@dataclass(frozen=True, kw_only=True)
class TrainerSettings(Settings):
    # From when the run ended; its model stays.
    training_run_days: Days = env("PRECEDENT_TRAINING_RUN_DAYS", Days(365))
