"""What the trainer needs to know beyond what every process does."""

from dataclasses import dataclass

from shared.settings import Settings, env


@dataclass(frozen=True, kw_only=True)
class TrainerSettings(Settings):
    fit_threads: int = env("PRECEDENT_TRAINER_THREADS", 2)
    fit_limit_seconds: float = env("PRECEDENT_TRAINER_LIMIT_SECONDS", 3600.0)
    # The same seed and data give the same bytes.
    seed: int = env("PRECEDENT_TRAINER_SEED", 20_240_229)
