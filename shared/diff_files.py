"""The files of a diff: headers of git and of plain `diff -u` read into what happened to each file."""

import re
from typing import Literal

import msgspec

from shared.diff_hunks import DiffError, is_hunk, read_hunk, short_hunk, wrong
from shared.diff_names import ABSENT, git_sides, side, unprefixed, unquoted

Status = Literal["A", "M", "D", "R", "C", "T"]

# Whatever begins otherwise is prose, and there may be much of it.
_START = re.compile(
    r"\n(?=diff --(?:git|cc|combined) \r*[^\r\n]|--- .*\n\+\+\+ |Binary files(?=.* and ) .*differ\r*\n|@@+ -\d)"
)
# The header that nearly every file has, names the same throughout, and its hunk where that is short and the only one.
# Longer names are read the longer way: of one full of ` b/`, each would be tried.
_USUAL = re.compile(
    r"diff --git a/(.{1,200}) b/\1\n(?:index .*\n)?--- a/\1\n\+\+\+ b/\1\n"
    r"(@@ -\d++(?:,(\d{1,9}))? \+\d++(?:,(\d{1,9}))? @@.*((?:\n[-+ ].*){1,20}+)\n(?=diff --git |\Z))?"
)
_GIT = re.compile(r"diff --(git|cc|combined) (.+)")
_SILENT = re.compile(r"(?:(?:index|mode|old mode|new mode|similarity index|dissimilarity index) .*\n)*+")
_BINARY_SIZE = re.compile(r"(?:literal|delta) \d+\r*\n")
_BLANK = re.compile(r"\n\r*\n")


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


def read_files(text: str) -> tuple[FileChange, ...]:
    """The files changed, in order; prose around them is passed over. Raises `DiffError`."""
    return tuple(_Reader(text).read())


class _Draft(msgspec.Struct, gc=False):
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


class _Reader:
    """Walks the text once; the next line begins at `at`."""

    def __init__(self, text: str) -> None:
        # A line feed closes each line, and one stands before the first.
        self.text = f"\n{text}" if text.endswith("\n") else f"\n{text}\n"
        self.at = 1
        self.files: list[FileChange] = []

    def read(self) -> list[FileChange]:
        while start := _START.search(self.text, self.at - 1):
            self.at = start.end()
            if self._usual_files():
                continue
            if git := _GIT.match(self._line()):
                self._git_file(*git.groups())
            elif self._starts("--- "):
                self._plain_file()
            elif self._starts("Binary"):
                self._plain_binary()
            elif is_hunk(self.text, self.at):
                raise self._wrong("a hunk without its file: keep the `---` and `+++` lines before it")
            else:
                self._pass()
        return self.files

    def _starts(self, words: str | tuple[str, ...]) -> bool:
        return self.text.startswith(words, self.at)

    def _line(self) -> str:
        """The next line as a header, "" past the end."""
        return self.text[self.at : self.text.find("\n", self.at)].rstrip("\r")

    def _pass(self) -> None:
        """Over the next line, at the end over nothing."""
        self.at = self.text.find("\n", self.at) + 1 or len(self.text)

    def _wrong(self, reason: str) -> DiffError:
        return wrong(self.text, self.at, reason)

    def _usual_files(self) -> bool:
        """Reads those that stand here; whether there was any."""
        found = False
        while usual := _USUAL.match(self.text, self.at):
            path, hunk, old, new, lines = usual.groups("")
            if hunk and (sides := short_hunk(lines, old, new)):
                added, deleted, hunks, self.at = *sides, 1, usual.end()
            else:
                self.at = usual.end() - len(hunk)
                added, deleted, hunks = self._hunks()
            self.files.append(FileChange(path, None, "M", tuple(added), tuple(deleted), hunks, False))
            found = True
        return found

    def _plain_file(self) -> None:
        draft = _Draft()
        draft.name(*unprefixed(*self._sides()))
        draft.added, draft.deleted, draft.hunks = self._hunks()
        self._keep(draft)

    def _plain_binary(self) -> None:
        old, _, new = self._line().removeprefix("Binary files ").removesuffix(" differ").partition(" and ")
        draft = _Draft(binary=True)
        draft.name(*unprefixed(unquoted(old), unquoted(new)))
        self._pass()
        self._keep(draft)

    def _git_file(self, kind: str, names: str) -> None:
        draft = _Draft()
        sides = git_sides(names) if kind == "git" else (unquoted(names), unquoted(names))
        draft.name(*(sides or ("", "")))
        if draft.path != draft.old_path:
            draft.status = "R"
        self._pass()
        self._extended_headers(draft)
        self._content(draft)
        self._keep(draft)

    def _extended_headers(self, draft: _Draft) -> None:
        while silent := _SILENT.match(self.text, self.at):
            self.at = silent.end()
            if self._starts(("rename ", "copy ")):
                line = self._line()
                word, _, name = line.partition(" from " if " from " in line else " to ")
                if word not in ("rename", "copy"):
                    return
                draft.status = "R" if word == "rename" else "C"
                setattr(draft, "old_path" if line.startswith(f"{word} from ") else "path", unquoted(name))
            elif self._starts(("new file mode ", "deleted file mode ")):
                draft.status = "A" if self._starts("new") else "D"
            else:
                return
            self._pass()

    def _content(self, draft: _Draft) -> None:
        if self._starts("--- "):
            old, new = self._sides()
            if not draft.path:
                draft.name(*unprefixed(old, new))
            elif ABSENT in (old, new):
                draft.status = "A" if old == ABSENT else "D"
            draft.added, draft.deleted, draft.hunks = self._hunks()
        elif self._starts("Binary files ") and self._line().endswith("differ"):
            draft.binary = True
            self._pass()
        elif self._starts("GIT binary patch") and self._line() == "GIT binary patch":
            draft.binary = True
            self._binary_patch()

    def _sides(self) -> tuple[str, str]:
        old = side(self._line())
        while self._starts("--- "):  # one a parent under --combined-all-paths
            self._pass()
        if not self._starts("+++ "):
            raise self._wrong("`--- ` without `+++ `: send the diff whole and unedited")
        new = side(self._line())
        self._pass()
        return old, new

    def _hunks(self) -> tuple[list[str], list[str], int]:
        """The lines added, those deleted, the number of hunks."""
        text, at, hunks = self.text, self.at, 0
        added: list[str] = []
        deleted: list[str] = []
        while text.startswith("@@", at):
            at = read_hunk(text, at, added, deleted)
            hunks += 1
        if not hunks:
            raise self._wrong("no hunk after `+++ `: send the diff whole and unedited")
        self.at = at
        return added, deleted, hunks

    def _binary_patch(self) -> None:
        """Passes over git's base-85 blocks: the new content, mostly the old one too, each closed by an empty line."""
        self._pass()
        if not _BINARY_SIZE.match(self.text, self.at):
            raise self._wrong("`GIT binary patch` without its content: leave `--binary` out")
        while _BINARY_SIZE.match(self.text, self.at):
            blank = _BLANK.search(self.text, self.at)
            self.at = blank.end() if blank else len(self.text)

    def _keep(self, draft: _Draft) -> None:
        """Git writes a change of type (file, link, submodule) as a deletion, then an addition of the same path."""
        if not draft.path:
            raise self._wrong("the file's name is not to be told from its header: send git's own `diff --git` line")
        last = self.files[-1] if self.files and draft.status == "A" else None
        if last and (last.path, last.status) == (draft.path, "D"):
            self.files[-1] = FileChange(
                path=last.path,
                old_path=None,
                status="T",
                added=tuple(draft.added),
                deleted=last.deleted,
                hunks=last.hunks + draft.hunks,
                binary=last.binary or draft.binary,
            )
        else:
            self.files.append(draft.done())
