"""The lines of source that a commit added and deleted, as far as somebody could be blamed for them.

Made for reading whole histories: a few regular expressions over git's own bytes, lines kept as hashes.
"""

import re
from dataclasses import dataclass

FILE_START = b"\ndiff --git "
ADDED = re.compile(rb"^\+(.*)", re.M)
DELETED = re.compile(rb"^-(.*)", re.M)
OLD_NAME = re.compile(rb"^(?:rename from |--- \"?a/)(.*)", re.M)
NEW_NAME = re.compile(rb"^(?:rename to |\+\+\+ \"?b/)(.*)", re.M)
# Files whose lines nobody writes, whose lines break nothing, and tests: a fix of a test is not a fix of the change.
NOT_SOURCE = re.compile(
    rb"(^|/)(node_modules|vendor|third_party|dist|__snapshots__|changelogs?|\.github)/"
    rb"|(^|/)(package-lock\.json|pnpm-lock\.yaml)$"
    rb"|(^|/)(changelog|licen[cs]e)s?([-_][^/.]*)?(\.(md|rst|txt|adoc|html))?$"
    rb"|\.(md|mdx|rst|txt|adoc|lock|snap|svg|csv|json|jsonl|ya?ml|toml|ini|cfg|po|pot|xml|html|map|sum|out|golden)$"
    rb"|(^|/)(tests?|__tests__|e2e|specs?|testing)/|(^|/)(test_[^/]*|conftest)\.py$|[._-](test|spec)\.\w+$"
    rb"|\.min\.(js|css)$|\.(generated|g|pb)\.\w+$|_pb2\.pyi?$",
    re.I,
)
# Comments, imports, and lines without three characters of a name or number.
TRIVIAL = re.compile(
    rb"(//|#(?!include|define|if|\[)|/\*|\*|<!--|--|;|\"\"\"|''')"
    rb"|(import|from|use|using|include|package|#include|export \*|export \{|require)\b"
    rb"|.*\brequire\(|(?:[^\w]*\w){0,2}[^\w]*$"
)


@dataclass(frozen=True, slots=True)
class FileChange:
    """`old_path` differs from `path` for a rename. Lines are hashes of the line without its indentation."""

    path: str
    old_path: str
    added: set[int]
    deleted: set[int]


def file_changes(diff: bytes) -> list[FileChange]:
    """One entry for each text file that counts as source, tests apart."""
    return [change for section in sections(diff) if (change := _file_change(section))]


def sections(diff: bytes) -> list[bytes]:
    """The parts of a diff that speak of one file each, in order."""
    first, *rest = diff.removeprefix(FILE_START[1:]).split(FILE_START)
    return [FILE_START[1:] + part for part in ([first] if first else []) + rest]


def _file_change(section: bytes) -> FileChange | None:
    head, _, hunks = section.partition(b"\n@@ ")
    old, new = _name(OLD_NAME, head), _name(NEW_NAME, head)
    if not (old or new) or NOT_SOURCE.search(new or old):
        return None
    added, deleted = _lines(ADDED, hunks), _lines(DELETED, hunks)
    # A line on both sides only moved: whoever wrote it before still did.
    path, old_path = (new or old).decode(errors="replace"), (old or new).decode(errors="replace")
    return FileChange(path, old_path, added - deleted, deleted - added)


def _name(pattern: re.Pattern[bytes], head: bytes) -> bytes:
    """Without prefix and quotes; git ends a name that holds spaces with a tab."""
    found = pattern.search(head)
    return found[1].rstrip(b'\t"').removeprefix(b'"') if found else b""


def _lines(pattern: re.Pattern[bytes], hunks: bytes) -> set[int]:
    stripped = map(bytes.strip, pattern.findall(hunks))
    return {hash(line) for line in stripped if not TRIVIAL.match(line)}
