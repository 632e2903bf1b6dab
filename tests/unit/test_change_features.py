"""A diff gives the numbers that their definitions say, and a caller who sends numbers must send the same ones."""

import math
import time

import pytest

from shared.diffs import Diff, FileChange, parse
from shared.features.change import CHANGE_FEATURES, change_features, check_claimed


def changed(path: str, added: str = "", deleted: str = "", status: str = "M", hunks: int = 1) -> FileChange:
    lines = [tuple(text.split("\n")) if text else () for text in (added, deleted)]
    return FileChange(path, None, status, *lines, hunks, False)  # type: ignore[arg-type]


def features(*files: FileChange) -> dict[str, float]:
    return change_features(Diff(files=files))


def test_lines_of_source_and_tests_are_counted_apart_and_lock_and_generated_files_left_out() -> None:
    values = features(
        changed("src/a.py", "x\ny", "z"),
        changed("tests/test_a.py", "1\n2\n3", "4\n5"),
        changed("uv.lock", "l\n" * 500),
        changed("web/dist/app.js", "m\n" * 500),
    )
    assert {name: values[name] for name in ("la", "ld", "la_test", "ld_test")} == {
        "la": 2,
        "ld": 1,
        "la_test": 3,
        "ld_test": 2,
    }
    assert (values["n_files"], values["n_test_files"], values["n_other_files"]) == (1, 1, 2)


def test_places_are_those_of_source_files() -> None:
    values = features(
        *(changed(path, "x") for path in ("a/b/c/1.py", "a/b/d/2.py", "a/b/d/3.py", "e/4.py", "tests/test_5.py"))
    )
    assert (values["n_dirs"], values["n_subsystems"], values["hunks"]) == (3, 2, 4)


def test_files_created_deleted_and_renamed() -> None:
    values = features(*(changed(f"{status}.py", "x", status=status) for status in "AMDRC"))
    assert (values["n_new"], values["n_deleted"], values["n_renamed"]) == (1, 1, 2)


@pytest.mark.parametrize(
    ("churn", "entropy"),
    [([5], 0.0), ([3, 3], 1.0), ([1, 3], 0.8113), ([4, 4, 4, 0], math.log2(3) / 2), ([0, 0], 0.0)],
)
def test_entropy_runs_from_one_file_to_an_even_spread(churn: list[int], entropy: float) -> None:
    values = features(*(changed(f"{i}.py", "\n".join("x" * n)) for i, n in enumerate(churn)))
    assert values["entropy"] == pytest.approx(entropy, abs=1e-4)


@pytest.mark.parametrize(
    ("line", "branches"),
    [
        ("if a and b:", 1),
        ("} else if (a && b || c) {", 3),
        ("x = a ?? b?.c", 2),
        ("y = ready ? 1 : 2", 1),
        ("let v = read()?;", 0),
        ("notify(iffy, elsewhere, format)", 0),
        ("match x { _ => loop {} }", 2),
    ],
)
def test_branch_points(line: str, branches: int) -> None:
    assert features(changed("a.ts", line, line))["br_add"] == branches
    assert features(changed("a.ts", line, line))["br_rem"] == branches


@pytest.mark.parametrize(
    ("line", "opens"),
    [
        ("def f(x):", 1),
        ("    async def f(x):", 1),
        ("export default async function load() {", 1),
        ("pub(crate) fn new() -> Self {", 1),
        ("impl Display for X {", 1),
        ("export interface Props {", 1),
        ("definition = 1", 0),
        ("call(function)", 0),
        ("const type = 1", 0),
    ],
)
def test_lines_that_open_a_function_or_type(line: str, opens: int) -> None:
    assert features(changed("a.ts", f"x\n{line}"))["fn_add"] == opens


def test_comments_indentation_and_width() -> None:
    values = features(changed("a.py", "# one\n    // two\n  code  # no", "\t\t\tdeep"))
    assert values["cm_add"] == 2
    assert features(changed("a.py", '"""Says why.\n\nx = 1\n"""'))["cm_add"] == 2
    assert (values["indent_add"], values["indent_rem"]) == (4, 3)
    assert values["width_add"] == pytest.approx((5 + 10 + 12) / 3)


def test_a_change_without_source_gives_zeros_everywhere_but_its_files() -> None:
    values = features(changed("README.md", "hello"))
    assert {name for name, value in values.items() if value} == {"n_other_files"}
    assert tuple(values) == tuple(CHANGE_FEATURES)


def test_claimed_features_of_our_own_making_pass() -> None:
    check_claimed(features(changed("a.py", "if x:", "y")))


@pytest.mark.parametrize(
    ("name", "value", "word"),
    [("la", -1.0, "la"), ("entropy", math.nan, "entropy"), ("hunks", math.inf, "hunks"), ("lines", 3.0, "unknown")],
)
def test_claimed_features_that_cannot_be_are_named(name: str, value: float, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        check_claimed(features(changed("a.py", "x")) | {name: value})


def test_a_missing_claimed_feature_is_named() -> None:
    values = features(changed("a.py", "x"))
    del values["fn_rem"]
    with pytest.raises(ValueError, match=r"features\.fn_rem: missing"):
        check_claimed(values)


def test_a_diff_of_five_kilobytes_takes_about_a_millisecond() -> None:
    body = "".join(f"+    if value_{i} > limit: return compute({i})\n" for i in range(110))
    text = f"--- a/x.py\n+++ b/x.py\n@@ -0,0 +1,110 @@\n{body}"
    times = []
    for _ in range(20):
        started = time.process_time()
        change_features(parse(text))
        times.append(time.process_time() - started)
    # Measured at 0.4 ms; the bound leaves room for a busy machine.
    assert min(times) < 0.003
