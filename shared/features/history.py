"""What was known of a change's author, agent, repository and files at a moment, and nothing later."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from shared.diffs import Diff
from shared.files import kind, language

# The public histories name as many of a change; more say little, and would make one statement of the database long.
MAX_FILES = 12
RECENT = timedelta(days=90)

Scope = Literal["author", "agent", "repository", "file"]


class Key(msgspec.Struct, frozen=True, order=True):
    """Whose past: `name` is an author, an agent or a path; empty for the repository itself.

    A path that ends in `/` is a directory. An author's name with a tab and an area, a language or a directory, is
    what they did there.
    """

    repository: str
    scope: Scope
    name: str = ""


class Past(msgspec.Struct, frozen=True):
    """One key's past as of a time; `failures` are those known by then, `fixes` changes that mended something.

    `expected` is how many failures changes of those sizes have elsewhere. `…_90d` are those of the last 90 days, a
    failure counted when it was seen. `Past()` = the key is new: nothing ever happened to it.
    """

    changes: int = 0
    failures: int = 0
    changes_90d: int = 0
    last_at: datetime | None = None
    first_at: datetime | None = None
    failures_90d: int = 0
    last_failure_at: datetime | None = None
    fixes: int = 0
    fixes_90d: int = 0
    last_fix_at: datetime | None = None
    expected: float = 0.0
    expected_90d: float = 0.0


class History(msgspec.Struct, frozen=True):
    """`language` and `directory` are the author's past there, None where the change has none; `place` is that of the
    directory itself. `files` are in the order of `touched_paths`, a `Past()` for those never seen."""

    author: Past = Past()
    agent: Past = Past()
    repository: Past = Past()
    files: tuple[Past, ...] = ()
    language: Past | None = None
    directory: Past | None = None
    place: Past | None = None


def touched_paths(diff: Diff) -> tuple[str, ...]:
    """The paths whose past tells about this change: source files if there are any, at most `MAX_FILES`, each once."""
    paths = dict.fromkeys(change.path for change in diff.files)
    source = [path for path in paths if kind(path) == "source"]
    return tuple(source or paths)[:MAX_FILES]


def keys_of(repository: str, author: str | None, agent_id: str, paths: Sequence[str]) -> list[Key]:
    """Author, agent and repository; with `paths` also the author's areas, the directory, and a key for each path.

    An unnamed author is the agent. `history_of` reads what is kept under them, in this order.
    """
    author = author or agent_id
    keys = [Key(repository, "author", author), Key(repository, "agent", agent_id), Key(repository, "repository")]
    if not paths:
        return keys
    spoken, directory = main_language(paths), main_directory(paths)
    areas = [Key(repository, "author", f"{author}\t{area}") for area in (spoken, directory)]
    return [*keys, *areas, *(Key(repository, "file", path) for path in (directory, *paths))]


def history_of(keys: Sequence[Key], pasts: Mapping[Key, Past]) -> History:
    """`pasts` holds what is known of `keys`, which are those of `keys_of`; a key that is missing there is new."""
    found = [pasts.get(key, Past()) for key in keys]
    author, agent, repository, *rest = found
    if not rest:
        return History(author, agent, repository)
    spoken, directory, place, *files = rest
    return History(author, agent, repository, tuple(files), spoken, directory, place)


def main_language(paths: Iterable[str]) -> str:
    """The language of most of the paths, the first of equals; empty where none has one."""
    return _commonest(language(path) or "" for path in paths)


def main_directory(paths: Iterable[str]) -> str:
    """The directory of most of the paths, the first of equals, ending in `/`."""
    return _commonest(path.rpartition("/")[0] + "/" for path in paths)


def _commonest(words: Iterable[str]) -> str:
    """Of few: they are counted anew for each, which takes a tenth of what a `Counter` does."""
    found = list(words)
    return max(found, key=found.count)
