"""A commit as a line of `POST /v1/fixes/bulk`."""

from datetime import datetime

import msgspec

from cli.git_log import Commit
from cli.line_changes import sections
from cli.messages import fix_type
from shared.contracts.fixes import Outcome

# The gateway refuses a diff over 1 MiB, and a line over 4 MiB, where one control character takes six bytes.
MOST_DIFF_BYTES = 900_000
MOST_JSON_BYTES = 4 * MOST_DIFF_BYTES
MOST_TITLE = 300
MOST_AUTHOR = 200


class BulkLine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`external_id` is the commit's sha, so a repeated import finds the fix again. E-mail addresses are not sent."""

    agent_id: str
    repository: str
    external_id: str
    title: str | None = None
    submitted_at: datetime
    # Filled in when the line is sent: diffs wait compressed.
    diff: str = ""
    author: str | None = None
    fix_type: str | None = None
    outcome: Outcome | None = None


def bulk_line(commit: Commit, agent_id: str, repository: str) -> BulkLine:
    """What is known at the time of the commit; diff and outcome are added when it is sent."""
    return BulkLine(
        agent_id=agent_id,
        repository=repository,
        external_id=commit.sha,
        author=commit.author.name[:MOST_AUTHOR] or None,
        title=commit.subject[:MOST_TITLE] or None,
        fix_type=fix_type(commit.subject),
        submitted_at=commit.time,
    )


def sendable(diff: bytes) -> tuple[str, int]:
    """The diff as text, and how many files had to be left out: those with NUL, and of too long a diff the largest."""
    if len(diff) <= MOST_DIFF_BYTES // 3 and b"\0" not in diff:  # a byte that is no UTF-8 becomes three
        return diff.decode(errors="replace"), 0
    files = sections(diff)
    kept, room = {}, MOST_DIFF_BYTES
    for number in sorted((n for n, file in enumerate(files) if b"\0" not in file), key=lambda n: len(files[n])):
        text = files[number][: room + 1].decode(errors="replace").rstrip("\n") + "\n"
        size = max(len(text.encode()), len(msgspec.json.encode(text)) * MOST_DIFF_BYTES // MOST_JSON_BYTES)
        if size <= room:
            kept[number] = text
            room -= size
    return "".join(kept[number] for number in sorted(kept)), len(files) - len(kept)
