"""Patterns' settings: how long it keeps what. See docs/retention.md."""

from dataclasses import dataclass

from shared.settings import Days, Settings, env


@dataclass(frozen=True, kw_only=True)
class PatternsSettings(Settings):
    # From when the fix was submitted, as in scoring; the pattern that it is part of stays.
    fix_days: Days = env("PRECEDENT_FIX_DAYS", Days(0))
