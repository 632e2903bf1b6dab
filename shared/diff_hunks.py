"""The hunks of a diff: their counts must add up, or the text was cut or edited."""

import re

_HUNK = re.compile(r"@@ -\d+(?:,(\d{1,9}))? \+\d+(?:,(\d{1,9}))? @@")
_COMBINED = re.compile(r"(@@@+)((?: -\d+(?:,\d{1,9})?)+) \+\d+(?:,(\d{1,9}))? \1")
# Mailers strip the space of an empty context line.
_CONTEXT = (" ", "", "\r")
_SIGNATURE = ("-- ", "--")
_MARKS = ("+", "-", " ", "\\")


class DiffError(ValueError):
    """`reason` is a sentence that names what is wrong and the remedy; `line` counts from 1, None = the whole text."""

    def __init__(self, reason: str, line: int | None = None) -> None:
        super().__init__(reason if line is None else f"line {line}: {reason}")
        self.reason = reason
        self.line = line


def is_hunk(line: str) -> bool:
    return _HUNK.match(line) is not None or _COMBINED.match(line) is not None


def read_hunk(lines: list[str], at: int, added: list[str], deleted: list[str]) -> int:
    """Reads the hunk whose header is `lines[at]` and answers the index after it. Raises `DiffError`."""
    if plain := _HUNK.match(lines[at]):
        old, new = plain.groups("1")
        end = _plain(lines, at, int(old), int(new), added, deleted)
    elif combined := _COMBINED.match(lines[at]):
        olds = [_count(old.partition(",")[2]) for old in combined[2].split()]
        end = _combined(lines, at, olds, _count(combined[3]), added, deleted)
    else:
        raise DiffError("not a hunk header: it reads `@@ -1,2 +1,3 @@`", at + 1)
    return _after(lines, at, end)


def _count(digits: str | None) -> int:
    return int(digits) if digits else 1


def _plain(lines: list[str], header: int, old: int, new: int, added: list[str], deleted: list[str]) -> int:
    if not (old and new) and (lines_of := _one_sided(lines[header + 1 : header + 1 + old + new], "+" if new else "-")):
        (added if new else deleted).extend(lines_of)
        if len(lines_of) == old + new:
            return header + 1 + old + new
        raise _cut(header)
    at = header + 1
    # A hunk has at most one note besides each line, so this slice is never longer than twice what it counts.
    for line in lines[at : at + 2 * (old + new)]:
        kind = line[:1]
        if kind == "+" and new > 0:
            new -= 1
            added.append(line[1:])
        elif kind == "-" and old > 0:
            old -= 1
            deleted.append(line[1:])
        elif old <= 0 and new <= 0:
            break
        elif kind in _CONTEXT:
            old -= 1
            new -= 1
        elif kind != "\\":
            raise _cut(header)
        at += 1
    if old or new:
        raise _cut(header)
    return at


def _one_sided(lines: list[str], sign: str) -> list[str] | None:
    """The lines without their sign, or None unless each has it: a whole file that came or went, read at once."""
    text = "\n".join(lines)
    bare = text[1:].split(f"\n{sign}")
    return bare if text.startswith(sign) and len(bare) == len(lines) else None


def _combined(lines: list[str], header: int, olds: list[int], new: int, added: list[str], deleted: list[str]) -> int:
    """One column a parent: `+` the line is not in that parent, `-` it is there and not in the result."""
    at, width = header + 1, len(olds)
    while new > 0 or any(old > 0 for old in olds):
        if at == len(lines):
            raise _cut(header)
        marks, text = lines[at][:width].strip("\r").ljust(width), lines[at][width:]
        at += 1
        if marks[0] == "\\":
            continue
        if marks.strip(" +-"):
            raise _cut(header)
        gone = "-" in marks
        new -= not gone
        olds = [old - (mark == ("-" if gone else " ")) for old, mark in zip(olds, marks, strict=True)]
        if marks[0] != " ":
            (deleted if gone else added).append(text)
    if new or any(olds):
        raise _cut(header)
    return at


def _cut(header: int) -> DiffError:
    return DiffError("the hunk has not the lines its header counts: send the diff whole and unedited", header + 1)


def _after(lines: list[str], header: int, at: int) -> int:
    """Past the no-newline note; a changed line that follows at once would be one more than the header counts."""
    if at == len(lines) or lines[at][:1] not in _MARKS:
        return at
    if lines[at].startswith("\\"):
        at += 1
    rest = lines[at : at + 2]
    more = bool(rest) and rest[0][:1] in ("+", "-", " ") and bool(rest[0].strip())
    next_file = len(rest) == 2 and rest[0].startswith("--- ") and rest[1].startswith("+++ ")
    if more and not next_file and rest[0].rstrip("\r") not in _SIGNATURE:
        raise _cut(header)
    return at
