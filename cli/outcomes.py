"""What became of each commit, told from the commits after it, in one pass over the history.

A commit failed when, within 30 days, it is reverted or a later fix deletes a line that it added (the idea of SZZ,
Śliwerski, Zimmermann and Zeller 2005, with a window). The last adder of the same line in the same file is blamed,
through renames; lines that moved, comments, imports and bare punctuation blame nobody.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Generic, Protocol, TypeVar

from cli.git_log import Commit
from cli.line_changes import FileChange, file_changes
from cli.messages import Reverted, is_fix, reverted, unnumbered
from shared.contracts.fixes import Outcome, OutcomeKind

WINDOW = timedelta(days=30)
# A fix that touches more files is a sweep (a formatter, a migration): what it deletes was not broken.
MOST_FILES_OF_A_FIX = 60

P = TypeVar("P")


class Branch(Protocol):
    """What is known beside the history, which has no merges: see `cli.git_log.Branch`."""

    def brought(self, named: str) -> Collection[str] | None: ...

    def pulled(self, number: int, before: str, since: datetime) -> Collection[str]: ...


@dataclass(eq=False, slots=True)
class _Seen(Generic[P]):
    sha: str
    subject: str
    time: datetime
    payload: P
    outcome: Outcome | None = None
    # What it added where: path, the file's table, lines. Forgetting then costs no more than remembering did.
    added: list[tuple[str, dict[int, "_Seen[P]"], set[int]]] = field(default_factory=list)

    @property
    def is_reverted(self) -> bool:
        return self.outcome is not None and self.outcome.kind == "reverted"

    def fail(self, kind: OutcomeKind, at: datetime, sha: str) -> None:
        """The first failure stays; it is never observed before the commit itself."""
        if self.outcome is None:
            self.outcome = Outcome(kind=kind, observed_at=max(at, self.time), detail=sha)


def judged(
    history: Iterable[tuple[Commit, P]], repository: str, until: datetime, branch: Branch
) -> Iterator[tuple[P, Outcome | None]]:  # fmt: skip
    """The payloads of a history, oldest first, each with its outcome; null for those too young to judge at `until`."""
    window: Outcomes[P] = Outcomes(repository, branch)
    for commit, payload in history:
        yield from window.push(commit.sha, commit.time, commit.message, file_changes(commit.diff), payload)
    yield from window.finish(until)


class Outcomes(Generic[P]):
    """Feed commits oldest first; each payload comes back in the same order, with its outcome, once that is decided.

    Holds the commits and the lines added of the last 30 days, whatever the length of the history.
    """

    def __init__(self, repository: str, branch: Branch) -> None:
        # Forks keep it, and the numbers of what they have of their origin.
        self._name = repository.rpartition("/")[2].lower()
        self._branch = branch
        self._pending: deque[_Seen[P]] = deque()
        self._latest: datetime | None = None
        # Which pending commit added a line last: path -> line -> commit.
        self._adders: dict[str, dict[int, _Seen[P]]] = {}

    def push(
        self, sha: str, time: datetime, message: str, changes: list[FileChange], payload: P
    ) -> Iterator[tuple[P, Outcome | None]]:
        """Judges earlier commits by this one; gives those whose 30 days are over."""
        # Clocks differ: a commit that claims to be older than its predecessor happened no earlier than it.
        self._latest = now = max(time, self._latest or time)
        yield from self._decided(now)
        self._revert(reverted(message), changes, now, sha)
        if len(changes) <= MOST_FILES_OF_A_FIX and is_fix(message):
            self._blame(changes, now, sha)
        seen = _Seen(sha, message.split("\n", 1)[0], time, payload)
        self._remember(seen, changes)
        self._pending.append(seen)

    def finish(self, until: datetime) -> Iterator[tuple[P, Outcome | None]]:
        """The rest, at the end of the history: what held until now, failed already, or is too young to judge."""
        yield from self._decided(max(until, self._latest or until))
        yield from ((seen.payload, seen.outcome) for seen in self._pending)
        self._pending.clear()

    def _decided(self, now: datetime) -> Iterator[tuple[P, Outcome | None]]:
        while self._pending and self._pending[0].time < now - WINDOW:
            seen = self._pending.popleft()
            self._forget(seen)
            yield seen.payload, seen.outcome or Outcome(kind="held", observed_at=seen.time + WINDOW)

    def _revert(self, named: Reverted, changes: Collection[FileChange], now: datetime, sha: str) -> None:
        for seen in self._taken_back(named, changes, now, sha):
            seen.fail("reverted", now, sha)

    def _taken_back(
        self, named: Reverted, changes: Collection[FileChange], now: datetime, sha: str
    ) -> Iterable[_Seen[P]]:
        """A sha says it for certain, and nothing where this branch never had it; a number says more than a title."""
        by_sha = [self._with_sha(each, changes) for each in named.shas]
        if any(each is not None for each in by_sha):
            return [seen for each in by_sha for seen in each or ()]
        if by_name := self._numbered(named) or self._titled(named.subject):
            return self._touched(by_name, changes)
        if named.number is None or self._elsewhere(named):
            return []
        return self._among(self._branch.pulled(named.number, sha, now - WINDOW))

    def _with_sha(self, named: str, changes: Collection[FileChange]) -> list[_Seen[P]] | None:
        """The commit itself, or all that came by a merge or in a range; None where this branch never had it."""
        if found := self._newest(lambda seen: seen.sha.startswith(named)):
            return self._touched(found, changes)
        brought = self._branch.brought(named)
        return None if brought is None else self._among(brought)

    def _among(self, shas: Collection[str]) -> list[_Seen[P]]:
        known = frozenset(shas)
        return [seen for seen in self._pending if seen.sha in known]

    def _numbered(self, named: Reverted) -> list[_Seen[P]]:
        """Another repository's pull request is the one of this history only if the title says so too."""
        if named.number is None:
            return []
        end, elsewhere = f" (#{named.number})", self._elsewhere(named)
        return self._newest(
            lambda seen: seen.subject.endswith(end) and (not elsewhere or unnumbered(seen.subject) == named.subject)
        )

    def _elsewhere(self, named: Reverted) -> bool:
        return named.repository is not None and named.repository.lower() != self._name

    def _titled(self, subject: str | None) -> list[_Seen[P]]:
        """Of those by one title the newest that nobody has taken back yet."""
        return self._newest(lambda seen: unnumbered(seen.subject) == subject and not seen.is_reverted)

    def _touched(self, found: Iterable[_Seen[P]], changes: Collection[FileChange]) -> list[_Seen[P]]:
        """Those of which a file is changed: who changes none takes nothing back, whatever a message is made of."""
        paths = {path for change in changes for path in (change.path, change.old_path)}
        tables = {id(self._adders.get(path)) for path in paths}

        def is_touched(seen: _Seen[P]) -> bool:
            return not seen.added or any(path in paths or id(table) in tables for path, table, _ in seen.added)

        return list(filter(is_touched, found))

    def _newest(self, is_it: Callable[[_Seen[P]], bool]) -> list[_Seen[P]]:
        found = next(filter(is_it, reversed(self._pending)), None)
        return [] if found is None else [found]

    def _blame(self, changes: Iterable[FileChange], now: datetime, sha: str) -> None:
        for change in changes:
            adders = self._adders.get(change.old_path, {})
            for line in change.deleted:
                if line in adders:
                    adders[line].fail("fixed_again", now, sha)

    def _remember(self, seen: _Seen[P], changes: Iterable[FileChange]) -> None:
        for change in changes:
            if change.old_path != change.path and change.old_path in self._adders:
                self._adders[change.path] = self._adders.pop(change.old_path)
            adders = self._adders.setdefault(change.path, {})
            for line in change.deleted:
                adders.pop(line, None)
            adders.update(dict.fromkeys(change.added, seen))
            seen.added.append((change.path, adders, change.added))

    def _forget(self, seen: _Seen[P]) -> None:
        for path, adders, lines in seen.added:
            for line in lines:
                if adders.get(line) is seen:
                    del adders[line]
            if not adders and self._adders.get(path) is adders:
                del self._adders[path]
