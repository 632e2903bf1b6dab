"""Known changes are read as what they are; whatever else a generator makes is read as git and unidiff read it."""

import difflib
import subprocess

import pytest
import unidiff
from hypothesis import given, settings
from hypothesis import strategies as st

from services.patterns.domain import examine
from shared.diffs import parse
from tests.categories import shipped_categories
from tests.golden_diffs import GOLDEN, Golden

NAMES = [golden.name for golden in GOLDEN]
CATEGORIZED = [golden for golden in GOLDEN if golden.category]

# No other line ends: `difflib` and unidiff would split there, git and this reader do not.
lines = st.lists(
    st.text(st.characters(codec="ascii", exclude_characters="\0\r\x0b\x0c\x1c\x1d\x1e"), max_size=6), max_size=9
)
plain_lines = lines.map(lambda found: [line.replace("\n", " ") for line in found])


@pytest.mark.parametrize("golden", GOLDEN, ids=NAMES)
def test_a_golden_diff_gives_its_files(golden: Golden) -> None:
    read = [
        (f.path, f.old_path, f.status, len(f.added), len(f.deleted), f.hunks, f.binary)
        for f in parse(golden.diff).files
    ]
    assert tuple(read) == golden.files


@pytest.mark.parametrize("golden", GOLDEN, ids=NAMES)
def test_a_golden_diff_names_its_languages(golden: Golden) -> None:
    assert examine(parse(golden.diff), golden.title, shipped_categories()).languages == golden.languages


@pytest.mark.parametrize("golden", CATEGORIZED, ids=[golden.name for golden in CATEGORIZED])
def test_a_golden_diff_with_its_title_is_of_its_kind(golden: Golden) -> None:
    assert examine(parse(golden.diff), golden.title, shipped_categories()).categorization.category == golden.category


def made(old: list[str], new: list[str], number: int = 0) -> str:
    """As `diff -u` writes it; empty when nothing differs."""
    name = f"dir/file{number}.py"
    found = difflib.unified_diff(
        [f"{line}\n" for line in old], [f"{line}\n" for line in new], f"a/{name}", f"b/{name}", n=2
    )
    return "".join(found)


@settings(max_examples=150, deadline=None)
@given(plain_lines, plain_lines)
def test_generated_diffs_read_as_unidiff_reads_them(old: list[str], new: list[str]) -> None:
    text = made(old, new)
    if not text:
        return
    [mine], [theirs] = parse(text).files, unidiff.PatchSet(text)
    assert (mine.path, mine.hunks) == (theirs.path, len(theirs))
    for side, sign in ((mine.added, "+"), (mine.deleted, "-")):
        assert list(side) == [line.value[:-1] for hunk in theirs for line in hunk if line.line_type == sign]


@settings(max_examples=10, deadline=None)
@given(st.lists(st.tuples(plain_lines, plain_lines), min_size=5, max_size=40))
def test_generated_diffs_count_as_git_counts_them(changes: list[tuple[list[str], list[str]]]) -> None:
    text = "".join(made(old, new, number) for number, (old, new) in enumerate(changes))
    if not text:
        return
    told = subprocess.run(["git", "apply", "--numstat"], input=text.encode(), capture_output=True, check=True, cwd="/")
    counted = [f"{len(file.added)}\t{len(file.deleted)}\t{file.path}" for file in parse(text).files]
    assert counted == told.stdout.decode().splitlines()
