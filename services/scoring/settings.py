"""Scoring's settings: how long it keeps what. See docs/retention.md."""

from dataclasses import dataclass

from shared.settings import Days, Settings, env


@dataclass(frozen=True, kw_only=True)
class ScoringSettings(Settings):
    # From when the fix was scored. What was measured of the diff stays.
    diff_days: Days = env("PRECEDENT_DIFF_DAYS", Days(180))
    # From when the fix was submitted; with its outcomes, so no model learns from it any more.
    fix_days: Days = env("PRECEDENT_FIX_DAYS", Days(0))
    refused_report_days: Days = env("PRECEDENT_REFUSED_REPORT_DAYS", Days(180))
