"""The files of a diff: headers of git and of plain `diff -u` read into what happened to each file."""

import re
from typing import Literal

import msgspec

from shared.diff_hunks import DiffError, adds_up, is_hunk, read_hunks, sides, wrong
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
# Git's header with all that it says of the file; of what is said more than once, the last counts.
_GIT = re.compile(
    r"diff --(?P<kind>git|cc|combined) (?P<names>.*[^\r\n])\r*\n"
    r"(?:(?:index|mode|old mode|new mode|similarity index|dissimilarity index) .*\n"
    r"|(?P<what>(?:rename|copy)(?= from | to )|(?:new|deleted)(?= file mode )) "
    r"(?:from (?P<old>.*)|to (?P<new>.*)|file mode .*)\n)*+"
)
_STATUS: dict[str, Status] = {"rename": "R", "copy": "C", "new": "A", "deleted": "D"}
# The old side once a parent under --combined-all-paths.
_SIDES = re.compile(r"--- (.*)\n(?:--- .*\n)*+\+\+\+ (.*)\n")
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
            if git := _GIT.match(self.text, self.at):
                self.at = git.end()
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
            if hunk and adds_up(lines, old, new):
                added, deleted, hunks, self.at = *sides(lines), 1, usual.end()
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

    def _git_file(self, kind: str, names: str, what: str | None, old: str | None, new: str | None) -> None:
        draft = _Draft()
        # Of a file that moved both names stand below, which no space leaves open.
        if old is None or new is None:
            pair = git_sides(names) if kind == "git" else (unquoted(names), unquoted(names))
            draft.name(*(pair or ("", "")))
            if draft.path != draft.old_path:
                draft.status = "R"
        if old is not None:
            draft.old_path = unquoted(old.rstrip("\r"))
        if new is not None:
            draft.path = unquoted(new.rstrip("\r"))
        if what is not None:
            draft.status = _STATUS[what]
        self._content(draft)
        self._keep(draft)

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
        if found := _SIDES.match(self.text, self.at):
            self.at = found.end()
            return side(found[1]), side(found[2])
        while self._starts("--- "):
            self._pass()
        raise self._wrong("`--- ` without `+++ `: send the diff whole and unedited")

    def _hunks(self) -> tuple[list[str], list[str], int]:
        """The lines added, those deleted, the number of hunks."""
        added, deleted, hunks, self.at = read_hunks(self.text, self.at)
        if not hunks:
            raise self._wrong("no hunk after `+++ `: send the diff whole and unedited")
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
