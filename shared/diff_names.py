"""File names as diff headers write them: quoted, prefixed, dated."""

import re

ABSENT = "/dev/null"

_QUOTED = re.compile(r'"([^"\\]*+(?:\\.[^"\\]*+)*+)"')
_ESCAPE = re.compile(rb"\\([0-3][0-7]{2}|.)")
_LETTERS = {b"a": b"\a", b"b": b"\b", b"t": b"\t", b"n": b"\n", b"v": b"\v", b"f": b"\f", b"r": b"\r"}
_BYTES = _LETTERS | {b"%03o" % byte: bytes([byte]) for byte in range(256)}
# `diff -N` dates a missing side with the epoch, in the local time zone.
_EPOCH = re.compile(r"\t(1970-01-01|1969-12-31) ")


def unquoted(name: str) -> str:
    """`name` without git's C-style quotes; octal escapes are bytes of UTF-8, wrong ones become U+FFFD."""
    quoted = _QUOTED.fullmatch(name) if name.startswith('"') else None
    if quoted is None:
        return name
    parts = _ESCAPE.split(quoted[1].encode())
    parts[1::2] = [_BYTES.get(code, code) for code in parts[1::2]]
    return b"".join(parts).decode(errors="replace")


def side(name: str) -> str:
    """The name behind `--- ` or `+++ `, `ABSENT` where that side does not exist."""
    if "\t" in name and _EPOCH.search(name):
        return ABSENT
    return unquoted(name.partition("\t")[0].rstrip())


def git_sides(names: str) -> tuple[str, str] | None:
    """Both names of a `diff --git` line, unprefixed; None where unquoted spaces leave it open."""
    pair = _quoted_pair(names) or _halves(names) or _at_prefix(names)
    return None if pair is None else unprefixed(*pair)


def unprefixed(old: str, new: str) -> tuple[str, str]:
    """Without `a/` and `b/`, or the one-letter prefixes of `diff.mnemonicPrefix`; other names stay as they are."""
    letters = [name[0] for name in (old, new) if name != ABSENT and name[1:2] == "/"]
    if len(set(letters)) == 2 or (ABSENT in (old, new) and letters in (["a"], ["b"])):
        return _bare(old), _bare(new)
    return old, new


def _bare(name: str) -> str:
    return name if name == ABSENT else name[2:]


def _quoted_pair(names: str) -> tuple[str, str] | None:
    if names.startswith('"') and (first := _QUOTED.match(names)):
        return unquoted(first[0]), unquoted(names[first.end() + 1 :])
    if names.endswith('"') and ' "' in names:
        old, _, new = names.partition(' "')
        return old, unquoted(f'"{new}')
    return None


def _halves(names: str) -> tuple[str, str] | None:
    """Where nothing is renamed, both names are the same but for the prefix, so spaces do not matter."""
    middle = len(names) // 2
    old, new = names[:middle], names[middle + 1 :]
    same = old == new or (old[1:2] == "/" and old[1:] == new[1:])
    return (old, new) if same and names[middle : middle + 1] == " " else None


def _at_prefix(names: str) -> tuple[str, str] | None:
    old, _, new = names.partition(" b/")
    if new and old.startswith("a/") and " b/" not in new:
        return old, f"b/{new}"
    old, _, new = names.partition(" ")
    return (old, new) if new and " " not in new else None
