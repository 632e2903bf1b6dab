"""A strict reader of unified and git diffs: what a change did to which file, or what is wrong with the text."""

import msgspec

from shared.diff_files import FileChange, Status, read_files
from shared.diff_hunks import DiffError

__all__ = ["MAX_BYTES", "Diff", "DiffError", "FileChange", "Status", "parse"]

MAX_BYTES = 1 << 20


class Diff(msgspec.Struct, frozen=True):
    files: tuple[FileChange, ...]


def parse(text: str) -> Diff:
    """The files that `text` changes, in its order; prose around them (a commit message, a mail) is passed over.

    Raises `DiffError` for a text that is no complete diff, or longer than `MAX_BYTES` in UTF-8.
    """
    _refuse_unreadable(text)
    files = read_files(_with_line_feeds(text))
    if not files:
        raise DiffError("no diff found: send the output of `git diff` or `diff -u`, file headers included")
    return Diff(files=files)


def _refuse_unreadable(text: str) -> None:
    if not text.strip():
        raise DiffError("the diff is empty: send at least one changed file")
    if "\0" in text:
        raise DiffError("NUL byte: leave binary content out, as `git diff` does", _line_of(text, text.index("\0")))
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise DiffError("not valid UTF-8: re-encode the diff", _line_of(text, error.start)) from None
    if size > MAX_BYTES:
        raise DiffError(f"{size} bytes, more than the {MAX_BYTES} allowed: leave generated files out, or split it")


def _line_of(text: str, offset: int) -> int:
    return text.count("\n", 0, offset) + 1


def _with_line_feeds(text: str) -> str:
    """Lines end at line feeds alone; where every line ends in CRLF that is the transport's, else it is the file's."""
    return text.replace("\r\n", "\n") if text.count("\r\n") == text.count("\n") else text
