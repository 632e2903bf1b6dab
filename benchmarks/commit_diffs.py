"""Reads the diffs of the labelled histories, which are cut off and lack the `---`/`+++` lines of a real diff."""

import re
from typing import Any

from shared.diffs import Diff, FileChange

_HEADER = re.compile(r"diff --git a/(.*) b/(.*)")
_STATUS = {"new file": "A", "deleted file": "D"}


def read_diff(commit: dict[str, Any]) -> Diff:
    """What was cut off is known by its counts alone: it becomes empty lines, so that the sizes are the true ones."""
    files = {change["path"]: change for change in map(_file, _blocks(commit["diff"]))}
    if commit["input"]["diff_truncated"]:
        for path, status, added, deleted in commit["input"]["files"] + commit["input"]["test_files"]:
            change = files.setdefault(path, _blank(path, status))
            change["added"] += [""] * (added - len(change["added"]))
            change["deleted"] += [""] * (deleted - len(change["deleted"]))
    return Diff(files=tuple(_frozen(change) for change in files.values()))


def _blocks(text: str) -> list[list[str]]:
    blocks: list[list[str]] = []
    for line in text.split("\n"):
        if _HEADER.fullmatch(line):
            blocks.append([])
        if blocks:
            blocks[-1].append(line)
    return blocks


def _file(block: list[str]) -> dict[str, Any]:
    old, new = _HEADER.fullmatch(block[0]).groups()  # type: ignore[union-attr]
    status = next((found for line in block[1:3] for start, found in _STATUS.items() if line.startswith(start)), None)
    change = _blank(new, status or ("M" if old == new else "R"))
    change["old_path"] = None if old == new else old
    change["added"] = [line[1:] for line in block[1:] if line.startswith("+")]
    change["deleted"] = [line[1:] for line in block[1:] if line.startswith("-")]
    change["hunks"] = sum(line.startswith("@@") for line in block)
    return change


def _blank(path: str, status: str) -> dict[str, Any]:
    return {"path": path, "old_path": None, "status": status, "added": [], "deleted": [], "hunks": 1, "binary": False}


def _frozen(change: dict[str, Any]) -> FileChange:
    return FileChange(**change | {"added": tuple(change["added"]), "deleted": tuple(change["deleted"])})
