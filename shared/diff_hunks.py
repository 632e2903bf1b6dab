"""The hunks of a diff: their counts must add up, or the text was cut or edited."""

import re

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
# Characters of a hunk that are read line by line, and that are counted at once where there are more.
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


def read_hunk(text: str, at: int, added: list[str], deleted: list[str]) -> int:
    """Reads the hunk whose header begins at `at`, and answers where the line after it does. Raises `DiffError`.

    A line feed closes each line of `text`, and one stands before the first.
    """
    if (short := _SHORT_HUNK.match(text, at)) and (sides := short_hunk(short[3], short[1], short[2])):
        added += sides[0]
        deleted += sides[1]
        return short.end()
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


def short_hunk(lines: str, old: str | None, new: str | None) -> tuple[list[str], list[str]] | None:
    """The lines added and deleted, None where not all are counted. Each of `lines` stands behind its line feed."""
    kept = lines.count("\n ")
    if lines.count("\n-") + kept != _count(old) or lines.count("\n+") + kept != _count(new):
        return None
    return _ADDED.findall(lines), _DELETED.findall(lines)


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
    for line in text[at:stop].split("\n")[1:]:
        if left <= 0:
            break
        at += len(line) + 1
        if not line:
            left -= 1 + width
            kept += 1
            continue
        marks = line[:width].strip("\r")
        if marks.startswith("\\"):
            continue
        if marks.strip(" +-"):
            return None
        gone = "-" in marks
        left -= marks.count("-") if gone else 1 + width - marks.count("+")
        kept += not gone
        seen[marks] = seen.get(marks, 0) + 1
        if marks[:1] in ("+", "-"):
            (deleted if gone else added).append(line[width:])
    # Marks once for all lines that have the same, and none for columns that a line leaves out: there may be thousands.
    for marks, n in seen.items():
        sign, step = ("-", -n) if "-" in marks else ("+", n)
        for parent, mark in enumerate(marks):
            if mark == sign:
                olds[parent] += step
    return at if {new, *olds} == {kept} else None
