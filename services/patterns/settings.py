"""Patterns' settings: how long it keeps what (docs/retention.md), and who goes first in an import (docs/bulk.md)."""

from dataclasses import dataclass

from shared.settings import Days, Settings, env


@dataclass(frozen=True, kw_only=True)
class PatternsSettings(Settings):
    # From when the fix was submitted, as in scoring; the pattern that it is part of stays.
    fix_days: Days = env("PRECEDENT_FIX_DAYS", Days(0))
    # How long imports wait for scoring to be through, for each fetch; 0 where patterns has a processor of its own.
    imports_wait_seconds: float = env("PRECEDENT_IMPORTS_WAIT_SECONDS", 5.0)
