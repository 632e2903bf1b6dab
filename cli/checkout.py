"""What a checkout says of itself: its name, the branch that counts, and up to when it knows that branch."""

import os
import re
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import click

# What belongs to another repository, such as the one whose hook this is, or to the user's taste in diffs.
NOT_OURS = (
    "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_COMMON_DIR", "GIT_DIFF_OPTS", "GIT_DIR", "GIT_EXTERNAL_DIFF",
    "GIT_GRAFT_FILE", "GIT_INDEX_FILE", "GIT_NAMESPACE", "GIT_OBJECT_DIRECTORY", "GIT_PREFIX", "GIT_QUARANTINE_PATH",
    "GIT_SHALLOW_FILE", "GIT_WORK_TREE",
)  # fmt: skip
# As git does without `://`: before the first slash stands a host, and behind its colon a path.
SCP = re.compile(r"(?:[^@/]*@)?(?:\[[^\]]*\]|[^:/]+):(?!//)(.*)")
ORIGIN = "refs/remotes/origin/"


class GitError(click.ClickException):
    """What git, or the lack of a repository, has to say."""


def environment() -> dict[str, str]:
    """For git, so that it reads the repository that it is told to, as it would for anybody."""
    kept = {name: value for name, value in os.environ.items() if name not in NOT_OURS}
    return kept | {"GIT_ATTR_NOSYSTEM": "1"}


def git(repository: Path, *args: str) -> str | None:
    """The answer of a short git command, or null when git refuses."""
    done = _run(repository, *args)
    return done.stdout.decode(errors="replace").strip() if done.returncode == 0 else None


def _run(repository: Path, *args: str) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(
            ["git", "-C", str(repository), *args], capture_output=True, check=False, env=environment()
        )
    except FileNotFoundError:
        raise GitError("git is not in the PATH: install it") from None


def branch(repository: Path, named: str | None = None) -> str:
    """The whole name of a branch or a revision, so that no tag is taken for it.

    Without `named` the branch that counts: what origin calls its head, else main, master, or whatever is checked out.
    """
    if (asked := _run(repository, "rev-parse", "--git-dir")).returncode != 0:
        # No repository, or one that belongs to somebody else: git says what to do then.
        raise GitError(f"{repository}: {asked.stderr.decode(errors='replace').strip().removeprefix('fatal: ')}")
    if named is None:
        head = git(repository, "symbolic-ref", f"{ORIGIN}HEAD")
        names: Sequence[str | None] = (head, "refs/heads/main", "refs/heads/master", "HEAD")
    else:
        names = () if named.startswith("-") else (f"refs/heads/{named}", f"refs/remotes/{named}", named)
    for name in names:
        if name and _sha(repository, name):
            return name
    raise GitError(f"{repository} has no commit yet" if named is None else f"{repository} has no branch {named!r}")


def _sha(repository: Path, name: str) -> str | None:
    return git(repository, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")


def name_of(repository: Path) -> str:
    """`owner/name` from the origin remote, else the name of the repository's own directory."""
    path = _hosted(git(repository, "remote", "get-url", "origin") or "").strip("/").removesuffix(".git")
    if path:
        return path
    own = _directory(repository)
    return (own.parent if own.name == ".git" else own).name.removesuffix(".git")


def _hosted(url: str) -> str:
    """The path on the host that serves it, never what was given to be let in; empty for a path on this machine."""
    if "://" in url:
        try:
            parts = urlsplit(url)
        except ValueError:
            return ""
        return parts.path if parts.netloc else ""
    found = SCP.match(url)
    return found[1].removeprefix("~/") if found else ""


def _directory(repository: Path) -> Path:
    """What all of its worktrees share."""
    return Path(git(repository, "rev-parse", "--path-format=absolute", "--git-common-dir") or repository.resolve())


def observed_until(repository: Path, revision: str, now: datetime) -> datetime:
    """Up to when this checkout knows its branch: one with an origin until its last fetch, another until now.

    A fix in a clone that nobody has fetched for months is not known to have held. A branch of one's own that lacks
    what was fetched is known until its last commit.
    """
    origin = git(repository, "remote", "get-url", "origin")
    if origin is None:
        return now
    fetched = revision if revision.startswith(ORIGIN) else ORIGIN + revision.removeprefix("refs/heads/")
    tip = _sha(repository, revision)
    if _sha(repository, fetched) and git(repository, "merge-base", "--is-ancestor", fetched, revision) is None:
        return min(now, _committed(repository, revision) or now)
    directory = _directory(repository)
    fetches = [path for path in (directory / "FETCH_HEAD", *directory.glob("worktrees/*/FETCH_HEAD")) if path.exists()]
    told = [path for path in fetches if _tells(path, origin, f"branch '{fetched.removeprefix(ORIGIN)}'", tip)]
    if told:
        return min(now, max(map(_changed, told)))
    # Nothing tells of a fetch that succeeded, so it is as old as the clone: what has changed since was not by a fetch.
    traces = [directory / name for name in ("description", "packed-refs", "refs/remotes/origin")]
    seen = [_changed(path) for path in (*fetches, *traces) if path.exists()]
    return min(now, min(seen, default=_committed(repository, revision) or now))


def _tells(fetch_head: Path, origin: str, branch: str, tip: str | None) -> bool:
    """Of this branch of origin's: a fetch that failed leaves it empty, one of another repository names that one."""
    for line in fetch_head.read_text(errors="replace").splitlines():
        sha, _, rest = line.partition("\t")
        what, _, where = rest.partition("\t")[2].rpartition(" of ")
        if (what == branch or sha == tip) and _anonymous(where) == _anonymous(origin):
            return True
    return False


def _anonymous(url: str) -> str:
    """As git writes it there."""
    return re.sub(r"(?<=://)[^/@]*@", "", url).rstrip("/").removesuffix(".git")


def _committed(repository: Path, revision: str) -> datetime | None:
    seconds = git(repository, "log", "-1", "--no-show-signature", "--format=%ct", revision, "--")
    return datetime.fromtimestamp(int(seconds), UTC) if seconds and re.fullmatch(r"\d{1,11}", seconds) else None


def _changed(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)


def cut_off(repository: Path) -> list[str]:
    """Where a shallow clone begins: the commits whose parents it lacks, so that what they changed is not known."""
    path = git(repository, "rev-parse", "--path-format=absolute", "--git-path", "shallow")
    return Path(path).read_text().split() if path and Path(path).exists() else []
