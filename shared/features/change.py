"""What a diff says about its change, as numbers. Nothing here knows who made it, or what happened before."""

import re
from collections.abc import Iterable, Mapping
from math import isfinite, log2

from shared.diffs import Diff, FileChange
from shared.files import kind

# Branch points. A question mark before a space is a conditional expression, one before a dot an optional access.
_BRANCH = re.compile(
    r"\b(?:if|elif|for|while|case|catch|except|match|when|switch|loop|unless)\b|&&|\|\||\?\?|\?\.|\?[^\S\n]"
)
# Lines that open a function, a method or a type.
_DEFINITION = re.compile(
    r"^[^\S\n]*(?:(?:export|default|async|public|private|protected|static|abstract|final|pub(?:\([^)\n]*\))?)[^\S\n]+)*"
    r"(?:function|def|fn|func|class|interface|struct|trait|impl|enum|type)\b",
    re.MULTILINE,
)
# Lines that begin as comments do in any of the languages, docstrings' delimiters among them.
_COMMENT = re.compile(r"^[^\S\n]*(?://|#|/\*|\*|--|<!--|\"{3}|'{3})", re.MULTILINE)

# Feature → what it counts. "Source" leaves out tests, documents, configuration, lock and generated files.
CHANGE_FEATURES: Mapping[str, str] = {
    "la": "lines added, source",
    "ld": "lines deleted, source",
    "la_test": "lines added, tests",
    "ld_test": "lines deleted, tests",
    "n_files": "source files",
    "n_test_files": "test files",
    "n_other_files": "files that are neither",
    "n_new": "source files created",
    "n_deleted": "source files deleted",
    "n_renamed": "source files renamed or copied",
    "n_dirs": "directories of the source files",
    "n_subsystems": "distinct first two parts of their paths",
    "hunks": "hunks, source",
    "entropy": "entropy of the changed lines over the source files, 0 = one file to 1 = evenly spread",
    "br_add": "branch points added, source",
    "br_rem": "branch points deleted, source",
    "fn_add": "lines added that open a function or a type, source",
    "fn_rem": "lines deleted that open a function or a type, source",
    "cm_add": "comment lines added, source",
    "indent_add": "deepest indentation among the added lines, characters, source",
    "indent_rem": "deepest indentation among the deleted lines, characters, source",
    "width_add": "mean length of the added lines, characters, source",
}


def change_features(diff: Diff) -> dict[str, float]:
    """One value for each of `CHANGE_FEATURES`, in that order; all finite and not negative."""
    kinds = [kind(change.path) for change in diff.files]
    source = [change for change, its in zip(diff.files, kinds, strict=True) if its == "source"]
    tests = [change for change, its in zip(diff.files, kinds, strict=True) if its == "test"]
    values = {
        **_lines(source),
        "la_test": sum(len(change.added) for change in tests),
        "ld_test": sum(len(change.deleted) for change in tests),
        "n_test_files": len(tests),
        "n_other_files": len(diff.files) - len(source) - len(tests),
        **_spread(source),
    }
    return {name: float(values[name]) for name in CHANGE_FEATURES}


def _lines(source: list[FileChange]) -> dict[str, float]:
    added = [line for change in source for line in change.added]
    deleted = [line for change in source for line in change.deleted]
    new, old = "\n".join(added), "\n".join(deleted)
    return {
        "la": len(added),
        "ld": len(deleted),
        "br_add": len(_BRANCH.findall(new)),
        "br_rem": len(_BRANCH.findall(old)),
        "fn_add": len(_DEFINITION.findall(new)),
        "fn_rem": len(_DEFINITION.findall(old)),
        "cm_add": len(_COMMENT.findall(new)),
        "indent_add": _deepest(added),
        "indent_rem": _deepest(deleted),
        "width_add": sum(map(len, added)) / len(added) if added else 0.0,
    }


def _deepest(lines: Iterable[str]) -> int:
    return max((len(line) - len(line.lstrip(" \t")) for line in lines), default=0)


def _spread(source: list[FileChange]) -> dict[str, float]:
    paths = [change.path for change in source]
    status = [change.status for change in source]
    return {
        "n_files": len(source),
        "n_new": status.count("A"),
        "n_deleted": status.count("D"),
        "n_renamed": status.count("R") + status.count("C"),
        "n_dirs": len({path.rpartition("/")[0] for path in paths}),
        "n_subsystems": len({tuple(path.split("/")[:2]) for path in paths}),
        "hunks": sum(change.hunks for change in source),
        "entropy": _entropy([len(change.added) + len(change.deleted) for change in source]),
    }


def _entropy(churn: list[int]) -> float:
    total = sum(churn)
    if len(churn) < 2 or not total:
        return 0.0
    return -sum(part / total * log2(part / total) for part in churn if part) / log2(len(churn))


def check_claimed(features: Mapping[str, float]) -> None:
    """Raises `ValueError` naming the first field that is unknown, missing, not finite or negative."""
    for name in [*features, *CHANGE_FEATURES]:
        if name not in CHANGE_FEATURES:
            raise ValueError(f"features.{name}: unknown; the names are {', '.join(CHANGE_FEATURES)}")
        if name not in features:
            raise ValueError(f"features.{name}: missing; send all of {', '.join(CHANGE_FEATURES)}")
        if not isfinite(features[name]) or features[name] < 0:
            raise ValueError(f"features.{name}: must be a finite number, 0 or more")
