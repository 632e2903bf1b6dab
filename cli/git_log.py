"""The history of a branch, oldest first, read from one `git log` process with bounded memory."""

import re
import subprocess
import tempfile
import uuid
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from cli.checkout import GitError, cut_off, environment, git
from cli.commit_times import consistent

CHUNK_BYTES = 1 << 20
# A commit with a longer diff (vendored trees) is read up to its last whole file within this.
MOST_BYTES = 32 << 20
# The user's configuration must not change what is read; quoting only where a name has control characters.
SETTINGS = {
    "core.abbrev": "auto",
    "core.attributesFile": "/dev/null",
    "core.quotePath": "false",
    "diff.algorithm": "myers",
    "diff.context": "3",
    "diff.ignoreSubmodules": "none",
    "diff.interHunkContext": "0",
    "diff.mnemonicPrefix": "false",
    "diff.noprefix": "false",
    "diff.orderFile": "/dev/null",
    "diff.relative": "false",
    # git's own, 1,000, loses who wrote what where a whole tree is renamed; more takes minutes for one commit.
    "diff.renameLimit": "3000",
    "diff.submodule": "short",
    "diff.suppressBlankEmpty": "false",
    "log.showSignature": "false",
    "log.follow": "false",
}
# A commit after its parents, also where somebody's clock was wrong.
ORDER = ("--reverse", "--date-order", "--no-merges")
LOG = (
    *("log", *ORDER, "--patch", "--root", "--find-renames", "--no-color", "--no-ext-diff"),
    *("--no-textconv", "--no-show-signature", "--no-notes", "--no-mailmap", "--no-indent-heuristic"),
    *("--encoding=UTF-8", "--src-prefix=a/", "--dst-prefix=b/"),
)
FIELDS = "%x00%H%x00%an%x00%ae%x00%B%x00"
CO_AUTHOR = re.compile(r"^co-authored-by[ \t]*+:([^<\n]*+)<([^>\n]*+)>", re.I | re.M)
FILE_START = b"\ndiff --git "
# Of a merge, more is no change that somebody takes back.
MOST_MERGED = 1000
# Seconds that no clock says, and that still go into 64 bits.
NO_TIME = 1 << 62


@dataclass(frozen=True, slots=True)
class Person:
    name: str
    email: str


@dataclass(frozen=True, slots=True)
class Commit:
    """`diff` is git's own bytes; an empty diff is a commit that changes no file.

    `time` is the committer's date (UTC), or where no clock could have said that, that of the commit before.
    """

    sha: str
    time: datetime
    author: Person
    message: str
    diff: bytes

    @property
    def subject(self) -> str:
        return self.message.split("\n", 1)[0]

    @property
    def co_authors(self) -> list[Person]:
        return [Person(name.strip(), email) for name, email in CO_AUTHOR.findall(self.message)]


def count(repository: Path, revision: str, selection: Sequence[str]) -> int:
    """How many commits `read` will give."""
    return int(git(repository, "rev-list", "--count", "--no-merges", *selection, revision, "--") or 0)


class Branch:
    """What a message may speak of beside the commits that `read` gives: merges, ranges, commits of long ago."""

    def __init__(self, repository: Path, revision: str) -> None:
        self._repository, self._revision = repository, revision

    def brought(self, named: str) -> Sequence[str] | None:
        """The newest of the commits that are meant by a sha, a merge's or another's, or by a range `A..B`.

        None where the branch has no such commit.
        """
        ends = [end for end in named.split(".") if end]
        if any(git(self._repository, "merge-base", "--is-ancestor", end, self._revision) is None for end in ends):
            return None
        chosen = ["..".join(ends)] if len(ends) == 2 else [*ends, f"^{named}^1"]
        most = f"--max-count={MOST_MERGED}"
        return (git(self._repository, "rev-list", "--no-merges", most, *chosen, "--") or "").split()

    def pulled(self, number: int, before: str, since: datetime) -> Sequence[str]:
        """What the pull request brought that was merged, with a merge, since then and before the commit `before`."""
        asked = ("--merges", f"--grep=^Merge pull request #{number} ", f"--since={since.isoformat()}", "--format=%H")
        merge = git(self._repository, "log", "-1", "--no-show-signature", *asked, before, "--")
        return (merge and self.brought(merge)) or ()


def selection(repository: Path, since: str | None, limit: int | None) -> list[str]:
    """The newest `limit` commits, none committed before `since`, and none of which only a part is known."""
    bounds = [*([f"--since={since}"] if since else []), *([f"--max-count={limit}"] if limit else [])]
    return [*bounds, *(f"^{sha}" for sha in cut_off(repository))]


def read(
    repository: Path, revision: str, selected: Sequence[str] = (), latest: datetime | None = None
) -> Iterator[Commit]:
    """Commits without merges, oldest first, none later than `latest` (now). Raises `GitError` when git fails."""
    # Whatever is committed meanwhile belongs to the next time.
    revision = git(repository, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}") or revision
    times = _times(repository, revision, selected, latest or datetime.now(UTC))
    # No diff can forge this separator: it is new each time.
    nonce = uuid.uuid4().hex
    settings = [word for name, value in SETTINGS.items() for word in ("-c", f"{name}={value}")]
    argv = ["git", "-C", str(repository), *settings, *LOG, f"--format=%x00{nonce}{FIELDS}", *selected, revision, "--"]
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=said, env=environment()) as process,
    ):
        assert process.stdout is not None  # noqa: S101
        try:
            for record in _records(process.stdout, f"\0{nonce}\0".encode()):
                yield _commit(record, next(times))
        finally:
            process.stdout.close()
        if process.wait() != 0:
            said.seek(0)
            raise GitError(said.read().decode(errors="replace").strip() or f"git log ended with {process.returncode}")


def _times(repository: Path, revision: str, selected: Sequence[str], latest: datetime) -> Iterator[int]:
    """Seconds. Of a date that cannot be read git says nothing, zero, or a number of any size."""
    told = git(repository, "log", *ORDER, "--no-show-signature", "--format=0%ct", *selected, revision, "--") or ""
    seconds = array("q", (min(int(time) or NO_TIME, NO_TIME) for time in told.split()))
    return iter(consistent(seconds, int(latest.timestamp())))


def _records(stream: IO[bytes], mark: bytes) -> Iterator[bytes]:
    """What stands between the marks; of an over-long record the beginning."""
    held, searched = bytearray(), 0
    while chunk := stream.read(CHUNK_BYTES):
        held += chunk
        while (at := held.find(mark, searched)) >= 0:
            if at:
                yield bytes(held[: min(at, MOST_BYTES)])
            del held[: at + len(mark)]
            searched = 0
        if len(held) > MOST_BYTES + len(mark):
            del held[MOST_BYTES : -len(mark)]
        searched = max(0, len(held) - len(mark))
    if held:
        yield bytes(held[:MOST_BYTES])


def _commit(record: bytes, time: int) -> Commit:
    sha, name, email, message, diff = record.split(b"\0", 4)
    if len(record) >= MOST_BYTES:
        diff = diff[: max(0, diff.rfind(FILE_START))]
    author = Person(name.decode(errors="replace"), email.decode(errors="replace"))
    at = datetime.fromtimestamp(time, UTC)
    text = message.decode(errors="replace").replace("\r\n", "\n").strip()
    return Commit(sha.decode(), at, author, text, diff.lstrip(b"\n"))
