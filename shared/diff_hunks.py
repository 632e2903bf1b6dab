"""The hunks of a diff: their counts must add up, or the text was cut or edited."""

import re
from collections.abc import Iterable
from itertools import repeat

# None of them looks past the end of a line.
_HUNK = re.compile(r"@@ -\d+(?:,(\d{1,9}))? \+\d+(?:,(\d{1,9}))? @@.*")
_COMBINED = re.compile(r"(@@@+)((?: -\d+(?:,\d{1,9})?)+) \+\d+(?:,(\d{1,9}))? \1.*")
# Of few lines, none empty or a note, and what follows cannot be one more.
_SHORT_HUNK = re.compile(r"@@ -\d++(?:,(\d{1,9}))? \+\d++(?:,(\d{1,9}))? @@.*((?:\n[-+ ].*){1,20}+)\n(?![-+ \\\r\n])")
# Before the first line that cannot be a hunk's. Mailers strip the space of an empty context line.
_STOP = re.compile(r"\n(?![-+ \\\r\n])")
_CONTEXT = (" ", "", "\r")
_ADDED = re.compile(r"\n\+(.*)")
_DELETED = re.compile(r"\n-(.*)")
# A line of the hunk, and neither the next file's header nor a mail's signature.
_MORE = re.compile(r"(?!--- .*\n\+\+\+ |-- ?\r*\n)(?:[-+]| [^\S\n]*+\S)")
# A line, and those behind it that are the same: of a merge there may be very many empty ones.
_ALIKE = re.compile(r"\n(.*)(?:\n\1(?=\n|\Z))*+")
# Characters of a hunk that are read line by line, and that are looked at together where there are more.
_SHORT, _BLOCK = 200, 1 << 12


class DiffError(ValueError):
    """`reason` is a sentence that names what is wrong and the remedy; `line` counts from 1, None = the whole text."""

    def __init__(self, reason: str, line: int | None = None) -> None:
        super().__init__(reason if line is None else f"line {line}: {reason}")
        self.reason = reason
        self.line = line


def wrong(text: str, at: int, reason: str) -> DiffError:
    """For the line that begins at `at`."""
    return DiffError(reason, text.count("\n", 0, at))


def is_hunk(text: str, at: int) -> bool:
    return _HUNK.match(text, at) is not None or _COMBINED.match(text, at) is not None


def read_hunks(text: str, at: int) -> tuple[list[str], list[str], int, int]:
    """Reads the hunks of which the first begins at `at`: lines added, lines deleted, how many, and where they end.

    A line feed closes each line of `text`, and one stands before the first. Raises `DiffError`.
    """
    added: list[str] = []
    deleted: list[str] = []
    hunks = 0
    while text.startswith("@@", at):
        short = []
        while (found := _SHORT_HUNK.match(text, at)) and adds_up(found[3], found[1], found[2]):
            short.append(found[3])
            at = found.end()
        if short:
            plus, minus = sides("".join(short))
            added += plus
            deleted += minus
        else:
            at = _read_hunk(text, at, added, deleted)
        hunks += len(short) or 1
    return added, deleted, hunks, at


def adds_up(lines: str, old: str | None, new: str | None) -> bool:
    """Whether a header counts `lines` so; none of them is empty or a note, each stands behind its line feed."""
    kept = lines.count("\n ")
    return lines.count("\n-") + kept == _count(old) and lines.count("\n+") + kept == _count(new)


def sides(lines: str) -> tuple[list[str], list[str]]:
    """Those added and those deleted."""
    return _ADDED.findall(lines), _DELETED.findall(lines)


def _read_hunk(text: str, at: int, added: list[str], deleted: list[str]) -> int:
    """Where the line behind it begins."""
    if header := _HUNK.match(text, at):
        old, new = header.groups("1")
        stop = _stop(text, header.end())
        end = _plain(text, header.end(), stop, int(old), int(new), added, deleted)
    elif header := _COMBINED.match(text, at):
        olds = [_count(old.partition(",")[2]) for old in header[2].split()]
        stop = _stop(text, header.end())
        end = _combined(text, header.end(), stop, olds, _count(header[3]), added, deleted)
    else:
        raise wrong(text, at, "not a hunk header: it reads `@@ -1,2 +1,3 @@`")
    if end != stop and end and text.startswith("\\", end + 1):
        end = text.find("\n", end + 1)
    if not end or (end != stop and _MORE.match(text, end + 1)):
        raise wrong(text, at, "the hunk has not the lines its header counts: send the diff whole and unedited")
    return end + 1


def _count(digits: str | None) -> int:
    return int(digits) if digits else 1


def _stop(text: str, at: int) -> int:
    stop = _STOP.search(text, at)
    return stop.start() if stop else len(text)


def _plain(text: str, at: int, stop: int, old: int, new: int, added: list[str], deleted: list[str]) -> int | None:
    """Where the last of the counted lines ends, None where they do not add up. The header ends at `at`."""
    # A hunk has at most one note besides each line.
    most = 2 * (old + new)
    while stop - at > _SHORT and (old > 0 or new > 0):
        end = text.find("\n", at + _BLOCK, stop) if stop - at > _BLOCK else stop
        end = stop if end < 0 else end
        lines, more, less = text.count("\n", at, end), text.count("\n+", at, end), text.count("\n-", at, end)
        notes = text.count("\n\\", at, end)
        old_left, new_left = old - (lines - more - notes), new - (lines - less - notes)
        if old_left < 0 or new_left < 0 or lines > most or (notes and not (old_left or new_left)):
            stop = end
            break
        added += text[at + 2 : end].split("\n+") if more == lines else _ADDED.findall(text, at, end) if more else ()
        deleted += text[at + 2 : end].split("\n-") if less == lines else _DELETED.findall(text, at, end) if less else ()
        at, old, new, most = end, old_left, new_left, most - lines
    for line in text[at:stop].split("\n")[1 : 1 + most]:
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
            return None
        at += len(line) + 1
    return None if old or new else at


def _combined(
    text: str, at: int, stop: int, olds: list[int], new: int, added: list[str], deleted: list[str]
) -> int | None:
    """One column a parent: `+` the line is not in that parent, `-` it is there and not in the result."""
    width, left, kept = len(olds), new + sum(olds), 0
    seen: dict[str, int] = {}
    for line, n in _runs(text, at, stop):
        if left <= 0:
            break
        marks = line[:width].strip("\r")
        if marks.startswith("\\"):
            at += n * (len(line) + 1)
            continue
        if marks.strip(" +-"):
            return None
        gone = "-" in marks
        step = marks.count("-") if gone else 1 + width - marks.count("+")
        n = min(n, -(-left // step))
        at += n * (len(line) + 1)
        left -= n * step
        kept += 0 if gone else n
        seen[marks] = seen.get(marks, 0) + n
        if marks[:1] in ("+", "-"):
            (deleted if gone else added).extend([line[width:]] * n)
    # Marks once for all lines that have the same, and none for columns that a line leaves out: there may be thousands.
    for marks, n in seen.items():
        sign, step = ("-", -n) if "-" in marks else ("+", n)
        for parent, mark in enumerate(marks):
            if mark == sign:
                olds[parent] += step
    return at if {new, *olds} == {kept} else None


def _runs(text: str, at: int, stop: int) -> Iterable[tuple[str, int]]:
    """Each line, and how often it comes in a row; of a few, each comes by itself."""
    if stop - at <= _BLOCK:
        return zip(text[at:stop].split("\n")[1:], repeat(1))
    return ((run[1], (run.end() - run.start()) // (len(run[1]) + 1)) for run in _ALIKE.finditer(text, at, stop))
