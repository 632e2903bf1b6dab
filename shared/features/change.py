"""What a diff says about its change, as numbers. Nothing here knows who made it, or what happened before."""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from math import isfinite, log2

from shared.diffs import Diff, FileChange
from shared.files import kind

# Branch points. A question mark before a space is a conditional expression, one before a dot an optional access, and
# of several in a row each pair is one.
_BRANCH_WORD = re.compile(rb" (?:if|e(?:lif|xcept)|for|wh(?:ile|en)|ca(?:se|tch)|match|switch|loop|unless)(?= )")
_BRANCH_SIGNS = ("&&", "||", "??")
_BRANCH_QUESTION = re.compile(r"\?(?:\.|[^\S\n])")
# Words are runs of letters, digits and underscores; signs beyond ASCII part them too.
_NO_WORD = re.compile(r"[^\x00-\x7f\w]+")
_SPACED = bytes(byte if byte >= 128 or chr(byte).isalnum() or byte == ord("_") else ord(" ") for byte in range(256))
# Lines that open a function, a method or a type. Most do not begin with such a letter, and are looked at no further.
_GAP = r"[^\S\n]"
_MODIFIERS = r"export|default|async|public|private|protected|static|abstract|final|pub(?:\([^)\n]*\))?"
_OPENERS = "function|def|fn|func|class|interface|struct|trait|impl|enum|type"
_DEFINITION = re.compile(rf"\n{_GAP}*+(?=[acdefipst])(?:(?:{_OPENERS})\b|(?:(?:{_MODIFIERS}){_GAP}+)+(?:{_OPENERS})\b)")
# As comments begin in any of the languages, docstrings' delimiters among them.
_COMMENT = re.compile(rf"""\n{_GAP}*+(?=[/#*<"'-])(?://|#|/\*|\*|--|<!--|\"{{3}}|'{{3}})""")
# So many of the first lines tell whether most come more than once.
_LOOK = 1000
_INDENTATION = re.compile(r"\n *")

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
    added, deleted = _Side([change.added for change in source]), _Side([change.deleted for change in source])
    return {
        "la": added.lines,
        "ld": deleted.lines,
        "br_add": added.count(_branches),
        "br_rem": deleted.count(_branches),
        "fn_add": added.count(_definitions),
        "fn_rem": deleted.count(_definitions),
        "cm_add": added.count(_comments),
        "indent_add": added.deepest(),
        "indent_rem": deleted.deepest(),
        "width_add": added.width(),
    }


class _Side:
    """One side's lines. Empty ones count, and hold nothing else."""

    def __init__(self, sides: Sequence[Sequence[str]]) -> None:
        self.lines = sum(map(len, sides))
        self.texts = _texts([*filter(None, chain.from_iterable(sides))])

    def count(self, found: Callable[[str], int]) -> int:
        return sum(times * found(text) for times, text in self.texts)

    def deepest(self) -> int:
        return max(_deepest(text) for _, text in self.texts)

    def width(self) -> float:
        """Mean characters a line."""
        characters = sum(times * (len(text) - text.count("\n")) for times, text in self.texts)
        return characters / self.lines if self.lines else 0.0


def _texts(lines: list[str]) -> list[tuple[int, str]]:
    """How often the lines of each text come, each behind its line feed; where few come twice, they are one text."""
    look = lines[:_LOOK]
    if len(look) < _LOOK or 2 * len(set(look)) > _LOOK:
        return [(1, _joined(lines))]
    alike: dict[int, list[str]] = {}
    for line, times in Counter(lines).items():
        alike.setdefault(times, []).append(line)
    return [(times, _joined(each)) for times, each in alike.items()]


def _joined(lines: Sequence[str]) -> str:
    return "\n".join(["", *lines])


def _branches(text: str) -> int:
    spaced = (text if text.isascii() else _signs_spaced(text)).encode().translate(_SPACED)
    signs = sum(map(text.count, _BRANCH_SIGNS)) + len(_BRANCH_QUESTION.findall(text.replace("??", "")))
    return len(_BRANCH_WORD.findall(spaced + b" ")) + signs


def _signs_spaced(text: str) -> str:
    """A look at each character takes long, and few lines have any beyond ASCII."""
    return "\n".join([line if line.isascii() else _NO_WORD.sub(" ", line) for line in text.split("\n")])


def _definitions(text: str) -> int:
    return len(_DEFINITION.findall(text))


def _comments(text: str) -> int:
    return len(_COMMENT.findall(text))


def _deepest(text: str) -> int:
    """Characters of the deepest indentation. Each search is for one that is deeper than all before."""
    text, deepest, at = text.replace("\t", " "), 0, 0
    while (at := text.find("\n" + " " * (deepest + 1), at)) >= 0:
        indented = _INDENTATION.match(text, at)
        deepest = len(indented[0]) - 1 if indented else deepest
    return deepest


def _spread(source: list[FileChange]) -> dict[str, float]:
    paths = [change.path for change in source]
    status = [change.status for change in source]
    return {
        "n_files": len(source),
        "n_new": status.count("A"),
        "n_deleted": status.count("D"),
        "n_renamed": status.count("R") + status.count("C"),
        "n_dirs": len({path.rpartition("/")[0] for path in paths}),
        "n_subsystems": len({"/".join(path.split("/", 2)[:2]) for path in paths}),
        "hunks": sum(change.hunks for change in source),
        "entropy": _entropy([len(change.added) + len(change.deleted) for change in source]),
    }


def _entropy(churn: list[int]) -> float:
    total = sum(churn)
    if len(churn) < 2 or not total:
        return 0.0
    parts = Counter(churn).items()
    return -sum(n * part / total * log2(part / total) for part, n in parts if part) / log2(len(churn))


def check_claimed(features: Mapping[str, float]) -> None:
    """Raises `ValueError` naming the first field that is unknown, missing, not finite or negative."""
    values = features.values()
    # A sum is finite only of numbers that are; where it overflows, the slow way finds nothing wrong.
    if features.keys() == CHANGE_FEATURES.keys() and min(values) >= 0 and isfinite(sum(values)):
        return
    for name in [*features, *CHANGE_FEATURES]:
        if name not in CHANGE_FEATURES:
            raise ValueError(f"features.{name}: unknown; the names are {', '.join(CHANGE_FEATURES)}")
        if name not in features:
            raise ValueError(f"features.{name}: missing; send all of {', '.join(CHANGE_FEATURES)}")
        if not isfinite(features[name]) or features[name] < 0:
            raise ValueError(f"features.{name}: must be a finite number, 0 or more")
