"""A history as the fixes that are imported."""

import re
import zlib
from collections.abc import Iterable, Iterator
from datetime import datetime

import msgspec

from cli.agents import agent_of
from cli.bodies import BulkLine, bulk_line, sendable
from cli.git_log import Commit
from cli.outcomes import Branch, judged
from cli.report import Report


def fixes(
    commits: Iterable[Commit],
    repository: str,
    report: Report,
    until: datetime,
    branch: Branch,
    others: re.Pattern[str] | None = None,
) -> Iterator[BulkLine]:
    """Every commit that changes a file, oldest first, each once its outcome is decided or the history is over."""
    prepared = _prepared(commits, repository, report, others)
    for (line, packed), outcome in judged(prepared, repository, until, branch):
        diff = zlib.decompress(packed).decode()
        if not diff:
            report.left_out["commits without a diff"] += 1
            continue
        fix = msgspec.structs.replace(line, diff=diff, outcome=outcome)
        report.note_fix(fix)
        yield fix


def _prepared(
    commits: Iterable[Commit], repository: str, report: Report, others: re.Pattern[str] | None
) -> Iterator[tuple[Commit, tuple[BulkLine, bytes]]]:
    for commit in commits:
        diff, files_left_out = sendable(commit.diff)
        report.left_out["files of too long a diff, or with NUL"] += files_left_out
        # It waits for 30 days of history: compressed, a diff is a fifth of its size.
        yield commit, (bulk_line(commit, agent_of(commit, others), repository), zlib.compress(diff.encode(), 1))
