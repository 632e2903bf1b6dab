"""What was known of a change's author, agent, repository and files at a moment, and nothing later."""

from datetime import datetime

import msgspec

from shared.diffs import Diff
from shared.files import kind

# More files than this say no more, and would make one statement of the database long.
MAX_FILES = 200


class Past(msgspec.Struct, frozen=True):
    """One key's past as of a time; `failures` are those known by then, `changes_90d` those of the last 90 days.

    `Past()` = the key is new: nothing ever happened to it.
    """

    changes: int = 0
    failures: int = 0
    changes_90d: int = 0
    last_at: datetime | None = None
    first_at: datetime | None = None


class History(msgspec.Struct, frozen=True):
    """`files` in the order of `touched_paths`, a `Past()` for those never seen."""

    author: Past = Past()
    agent: Past = Past()
    repository: Past = Past()
    files: tuple[Past, ...] = ()


def touched_paths(diff: Diff) -> tuple[str, ...]:
    """The paths whose past tells about this change: source files if there are any, at most `MAX_FILES`, each once."""
    paths = dict.fromkeys(change.path for change in diff.files)
    source = [path for path in paths if kind(path) == "source"]
    return tuple(source or paths)[:MAX_FILES]
