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

import click

from cli.commit_times import consistent

CHUNK_BYTES = 1 << 20
# A commit with a longer diff (vendored trees) is read up to its last whole file within this.
MOST_BYTES = 32 << 20
# The user's configuration must not change what is read; quoting only where a name has control characters.
SETTINGS = {
    "core.quotePath": "false",
    "diff.algorithm": "myers",
    "diff.context": "3",
    "diff.interHunkContext": "0",
    "diff.mnemonicPrefix": "false",
    "diff.noprefix": "false",
    "diff.orderFile": "/dev/null",
    "diff.relative": "false",
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
CO_AUTHOR = re.compile(r"^co-authored-by:[ \t]*(.*?)[ \t]*<([^>\n]*)>", re.I | re.M)
FILE_START = b"\ndiff --git "
# Of a merge, more is no change that somebody takes back.
MOST_MERGED = 1000
# Seconds that no clock says, and that still go into 64 bits.
NO_TIME = 1 << 62


class GitError(click.ClickException):
    """What git, or the lack of a repository, has to say."""


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
        return [Person(name, email) for name, email in CO_AUTHOR.findall(self.message)]


def git(repository: Path, *args: str) -> str | None:
    """The answer of a short git command, or null when git refuses."""
    done = _run(repository, *args)
    return done.stdout.decode(errors="replace").strip() if done.returncode == 0 else None


def _run(repository: Path, *args: str) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(["git", "-C", str(repository), *args], capture_output=True, check=False)
    except FileNotFoundError:
        raise GitError("git is not in the PATH: install it") from None


def default_branch(repository: Path) -> str:
    """The branch that counts: what origin calls its head, else main, master, or whatever is checked out."""
    if (asked := _run(repository, "rev-parse", "--git-dir")).returncode != 0:
        # No repository, or one that belongs to somebody else: git says what to do then.
        raise GitError(f"{repository}: {asked.stderr.decode(errors='replace').strip().removeprefix('fatal: ')}")
    for name in (git(repository, "symbolic-ref", "--short", "refs/remotes/origin/HEAD"), "main", "master", "HEAD"):
        if name and git(repository, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}"):
            return name
    raise GitError(f"{repository} has no commit yet")


def repository_name(repository: Path) -> str:
    """`owner/name` from the origin remote, else the directory's name."""
    origin = git(repository, "config", "--get", "remote.origin.url") or ""
    hosted = re.search(r"(?:://|@)[^/:]+(?::\d+)?[/:](.+?)(?:\.git)?/?$", origin)
    return hosted[1].lstrip("/") if hosted else repository.resolve().name.removesuffix(".git")


def observed_until(repository: Path, now: datetime) -> datetime:
    """Up to when this checkout knows its branch: a clone until its last fetch, a repository without origin until now.

    A fix in a clone that nobody has fetched for months is not known to have held.
    """
    if git(repository, "config", "--get", "remote.origin.url") is None:
        return now
    directory = Path(git(repository, "rev-parse", "--path-format=absolute", "--git-common-dir") or repository)
    # Written by a fetch, by a clone, by either.
    traces = [directory / name for name in ("FETCH_HEAD", "packed-refs", "refs/remotes/origin")]
    seen = next((path.stat().st_mtime for path in traces if path.exists()), now.timestamp())
    return min(now, datetime.fromtimestamp(seen, UTC))


def count(repository: Path, revision: str, selection: Sequence[str]) -> int:
    """How many commits `read` will give."""
    return int(git(repository, "rev-list", "--count", "--no-merges", *selection, revision, "--") or 0)


def merged(repository: Path, sha: str) -> Sequence[str]:
    """The newest of the commits that the merge `sha` brought to its first parent; none of what is no merge here."""
    brought = git(repository, "rev-list", "--no-merges", f"--max-count={MOST_MERGED}", f"{sha}^2", f"^{sha}^1", "--")
    return brought.split() if brought else []


def cut_off(repository: Path) -> list[str]:
    """Where a shallow clone begins: the commits whose parents it lacks, so that what they changed is not known."""
    path = git(repository, "rev-parse", "--path-format=absolute", "--git-path", "shallow")
    return Path(path).read_text().split() if path and Path(path).exists() else []


def selection(repository: Path, since: str | None, limit: int | None) -> list[str]:
    """The newest `limit` commits, none committed before `since`, and none of which only a part is known."""
    bounds = [*([f"--since={since}"] if since else []), *([f"--max-count={limit}"] if limit else [])]
    return [*bounds, *(f"^{sha}" for sha in cut_off(repository))]


def read(
    repository: Path, revision: str, selected: Sequence[str] = (), latest: datetime | None = None
) -> Iterator[Commit]:
    """Commits without merges, oldest first, none later than `latest` (now). Raises `GitError` when git fails."""
    revision = git(repository, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}") or revision
    times = _times(repository, revision, selected, latest or datetime.now(UTC))
    # No diff can forge this separator: it is new each time.
    nonce = uuid.uuid4().hex
    settings = [word for name, value in SETTINGS.items() for word in ("-c", f"{name}={value}")]
    argv = ["git", "-C", str(repository), *settings, *LOG, f"--format=%x00{nonce}{FIELDS}", *selected, revision, "--"]
    with tempfile.TemporaryFile() as said, subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=said) as process:
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
    return Commit(sha.decode(), at, author, message.decode(errors="replace").strip(), diff.lstrip(b"\n"))
