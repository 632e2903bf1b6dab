"""The files of a diff: headers of git and of plain `diff -u` read into what happened to each file."""

import re
from typing import Literal

import msgspec

from shared.diff_hunks import DiffError, is_hunk, read_hunk
from shared.diff_names import ABSENT, git_sides, side, unprefixed, unquoted

Status = Literal["A", "M", "D", "R", "C", "T"]

# Whatever begins otherwise is prose, and there may be much of it.
_STARTS = ("diff --", "--- ", "Binary files ", "@@")
_GIT = re.compile(r"diff --(git|cc|combined) (.+)")
_BINARY_SIZE = re.compile(r"(literal|delta) \d+$")
_SILENT = ("index ", "old mode ", "new mode ", "mode ", "similarity index ", "dissimilarity index ")


class FileChange(msgspec.Struct, frozen=True, gc=False):
    """One file's change; lines stand without their `+`/`-`. `old_path` is set for renames and copies only.

    Of a merge (combined diff), `added` and `deleted` are as against its first parent.
    """

    path: str
    old_path: str | None
    status: Status
    added: tuple[str, ...]
    deleted: tuple[str, ...]
    hunks: int
    binary: bool


def read_files(lines: list[str]) -> tuple[FileChange, ...]:
    """The files changed, in order; prose around them is passed over. Raises `DiffError`."""
    return tuple(_Reader(lines).read())


class _Draft(msgspec.Struct):
    path: str = ""
    old_path: str = ""
    status: Status = "M"
    added: list[str] = []
    deleted: list[str] = []
    hunks: int = 0
    binary: bool = False

    def name(self, old: str, new: str) -> None:
        """Takes the names of both sides; a missing side and a new name say what happened."""
        self.path, self.old_path = (old if new == ABSENT else new), old
        if ABSENT in (old, new):
            self.status = "A" if old == ABSENT else "D"

    def done(self) -> FileChange:
        old_path = self.old_path if self.status in ("R", "C") else None
        added, deleted = tuple(self.added), tuple(self.deleted)
        return FileChange(self.path, old_path, self.status, added, deleted, self.hunks, self.binary)


def _is_binary(line: str) -> bool:
    return line.startswith("Binary files ") and line.endswith("differ")


class _Reader:
    """Walks the lines once; `at` is the next one. The `last` file may still turn out to be half of a change of type."""

    def __init__(self, lines: list[str]) -> None:
        self.lines = lines
        self.at = 0
        self.files: list[FileChange] = []
        self.last: _Draft | None = None

    def read(self) -> list[FileChange]:
        while self.at < len(self.lines):
            if not self.lines[self.at].startswith(_STARTS):
                self.at += 1
            elif path := self._usual_file():
                self._file(_Draft(path, path))
            elif git := _GIT.match(self._line()):
                self._git_file(*git.groups())
            elif self._at_sides():
                self._plain_file()
            elif _is_binary(self._line()) and " and " in self._line():
                self._plain_binary()
            elif is_hunk(self._line()):
                raise self._wrong("a hunk without its file: keep the `---` and `+++` lines before it")
            else:
                self.at += 1
        if self.last:
            self.files.append(self.last.done())
        return self.files

    def _line(self) -> str:
        """The next line as a header, "" past the end."""
        return self.lines[self.at].rstrip("\r") if self.at < len(self.lines) else ""

    def _wrong(self, reason: str) -> DiffError:
        return DiffError(reason, self.at + 1)

    def _at_sides(self) -> bool:
        return [line[:4] for line in self.lines[self.at : self.at + 2]] == ["--- ", "+++ "]

    def _usual_file(self) -> str | None:
        """Passes over the header that nearly every file has, names the same throughout, and answers the path."""
        at = self.at + 1
        header = self.lines[self.at]
        path = header[len("diff --git a/") : (len(header) + len("diff --git ")) // 2]
        if not path or header != f"diff --git a/{path} b/{path}":
            return None
        at += at < len(self.lines) and self.lines[at].startswith("index ")
        if self.lines[at : at + 2] != [f"--- a/{path}", f"+++ b/{path}"]:
            return None
        self.at = at + 2
        return path

    def _plain_file(self) -> None:
        draft = _Draft()
        draft.name(*unprefixed(*self._sides()))
        self._file(draft)

    def _file(self, draft: _Draft) -> None:
        self._hunks(draft)
        self._keep(draft)

    def _plain_binary(self) -> None:
        old, _, new = self._line().removeprefix("Binary files ").removesuffix(" differ").partition(" and ")
        draft = _Draft(binary=True)
        draft.name(*unprefixed(unquoted(old), unquoted(new)))
        self.at += 1
        self._keep(draft)

    def _git_file(self, kind: str, names: str) -> None:
        draft = _Draft()
        sides = git_sides(names) if kind == "git" else (unquoted(names), unquoted(names))
        draft.name(*(sides or ("", "")))
        if draft.path != draft.old_path:
            draft.status = "R"
        self.at += 1
        while self._extended_header(draft):
            self.at += 1
        self._content(draft)
        self._keep(draft)

    def _extended_header(self, draft: _Draft) -> bool:
        line = self._line()
        word, _, name = line.partition(" from " if " from " in line else " to ")
        if word in ("rename", "copy"):
            draft.status = "R" if word == "rename" else "C"
            setattr(draft, "old_path" if line.startswith(f"{word} from ") else "path", unquoted(name))
        elif line.startswith(("new file mode ", "deleted file mode ")):
            draft.status = "A" if line.startswith("new") else "D"
        return word in ("rename", "copy") or line.startswith((*_SILENT, "new file mode ", "deleted file mode "))

    def _content(self, draft: _Draft) -> None:
        line = self._line()
        if line.startswith("--- "):
            old, new = self._sides()
            if not draft.path:
                draft.name(*unprefixed(old, new))
            elif ABSENT in (old, new):
                draft.status = "A" if old == ABSENT else "D"
            self._hunks(draft)
        elif _is_binary(line):
            draft.binary = True
            self.at += 1
        elif line == "GIT binary patch":
            draft.binary = True
            self._binary_patch()

    def _sides(self) -> tuple[str, str]:
        old = side(self._line())
        while self._line().startswith("--- "):  # one a parent under --combined-all-paths
            self.at += 1
        if not self._line().startswith("+++ "):
            raise self._wrong("`--- ` without `+++ `: send the diff whole and unedited")
        new = side(self._line())
        self.at += 1
        return old, new

    def _hunks(self, draft: _Draft) -> None:
        lines, at = self.lines, self.at
        while at < len(lines) and lines[at].startswith("@@"):
            at = read_hunk(lines, at, draft.added, draft.deleted)
            draft.hunks += 1
        if not draft.hunks:
            raise self._wrong("no hunk after `+++ `: send the diff whole and unedited")
        self.at = at

    def _binary_patch(self) -> None:
        """Passes over git's base-85 blocks: the new content, mostly the old one too, each closed by an empty line."""
        self.at += 1
        if not _BINARY_SIZE.match(self._line()):
            raise self._wrong("`GIT binary patch` without its content: leave `--binary` out")
        while _BINARY_SIZE.match(self._line()):
            while self._line():
                self.at += 1
            self.at += 1

    def _keep(self, draft: _Draft) -> None:
        """Git writes a change of type (file, link, submodule) as a deletion, then an addition of the same path."""
        if not draft.path:
            raise self._wrong("the file's name is not to be told from its header: send git's own `diff --git` line")
        last = self.last
        if last and (last.path, last.status, draft.status) == (draft.path, "D", "A"):
            last.status = "T"
            last.added, last.hunks = draft.added, last.hunks + draft.hunks
            last.binary = last.binary or draft.binary
            return
        if last:
            self.files.append(last.done())
        self.last = draft
