"""A vector holds what is known as of a moment, NaN for the rest, and rates that few changes hardly move."""

from datetime import UTC, datetime, timedelta
from math import isnan

import pytest

from shared.contracts.fixes import Signals
from shared.diffs import Diff, FileChange
from shared.features.history import MAX_FILES, History, Key, Past, history_of, keys_of, touched_paths
from shared.features.vector import (
    FEATURE_SET,
    FEATURES,
    REMEMBERED,
    change_features,
    normalize_fix_type,
    unclaimed,
    vector,
)

NOW = datetime(2024, 6, 1, tzinfo=UTC)
CHANGE = change_features(Diff(files=(FileChange("a.py", None, "M", ("x = 1",), (), 1, False),)))


def named(
    history: History | None = None, fix_type: str | None = None, signals: Signals | None = None
) -> dict[str, float]:
    return dict(zip(FEATURES, vector(CHANGE, history, fix_type, signals, NOW), strict=True))


def past(changes: int, failures: int = 0, days: float = 1.0) -> Past:
    return Past(changes, failures, changes // 2, NOW - timedelta(days=days), NOW - timedelta(days=10 * days))


def test_what_nobody_told_is_not_known() -> None:
    unknown = {name for name, value in named().items() if isnan(value)}
    assert unknown == set(FEATURES) - set(CHANGE) - {"size_risk"}


def test_every_value_is_a_float_in_the_order_of_the_names() -> None:
    history = History(past(4), past(5), past(6), (past(1),))
    values = vector(CHANGE, history, "fix", Signals(tests_passed=True, ci_status="success", retries=0), NOW)
    assert {type(value) for value in values} == {float}
    assert values[: len(CHANGE)] == list(CHANGE.values())


def test_a_vector_that_leaves_out_the_claims_is_the_one_of_a_change_that_claimed_nothing() -> None:
    history, signals = History(past(4), past(5), past(6), (past(1),)), Signals(tests_passed=True, retries=2)
    claimed, plain = (vector(CHANGE, history, "fix", s, NOW) for s in (signals, None))
    assert claimed != plain
    assert repr(unclaimed(claimed)) == repr(plain)


def test_a_new_key_has_the_rate_of_its_repository_and_a_new_repository_about_the_prior() -> None:
    values = named(History(repository=past(980, 490), files=(Past(),)))
    assert values["repository_failure_rate"] == pytest.approx((490 + 20 * 0.14) / 1000)
    assert values["author_failure_rate"] == values["agent_failure_rate"] == values["repository_failure_rate"]
    assert values["file_failure_rate_max"] == pytest.approx(values["repository_failure_rate"])
    assert named(History(repository=past(1)))["repository_failure_rate"] == pytest.approx(0.14, rel=0.05)


def test_the_first_change_of_a_repository_has_no_past_that_tells_anything() -> None:
    assert all(isnan(named(History(files=(Past(),)))[name]) for name in REMEMBERED)


def test_a_new_agent_without_failures_is_not_a_perfect_agent() -> None:
    once, often = (named(History(repository=past(100, 14), agent=past(n)))["agent_failure_rate"] for n in (1, 200))
    assert 0.12 < once < 0.14
    assert often < 0.01


def test_times_are_days_before_the_moment_and_unknown_for_the_new() -> None:
    values = named(
        History(
            author=past(4, days=2.5),
            repository=past(1, days=0.5),
            files=(past(1, days=9), past(1, days=3), Past()),
        )
    )
    assert (values["author_gap_days"], values["author_age_days"]) == (2.5, 25.0)
    assert (values["file_gap_days_min"], values["files_unseen"]) == (3.0, 1.0)
    assert values["repository_age_days"] == 5.0
    assert isnan(values["author_failure_gap_days"])


def test_files_are_summed_up() -> None:
    values = named(History(repository=past(10), files=(past(10, 2), past(4, 3), Past())))
    assert (values["file_changes_max"], values["file_changes_mean"]) == (10, pytest.approx(14 / 3))
    assert (values["file_failures_max"], values["file_failures_sum"], values["file_changes_90d_max"]) == (3, 5, 5)


def test_failures_are_compared_with_those_expected_of_the_sizes() -> None:
    def excess(failures: int, expected: float) -> float:
        return named(History(repository=past(9), author=Past(20, failures, expected=expected)))["author_failure_excess"]

    assert excess(4, 4.0) == 0
    assert excess(4, 1.0) > 0.3 > -0.3 > excess(1, 4.0)


def test_an_author_is_known_by_language_and_directory() -> None:
    keys = keys_of("r", "jane", "claude", ("src/api/a.py", "src/api/b.py", "web/c.ts"))
    told = {
        Key("r", "author", "jane\tpython"): past(7),
        Key("r", "author", "jane\tsrc/api/"): past(3),
        keys[2]: past(9),
    }
    values = named(history_of(keys, told))
    assert (values["author_language_changes"], values["author_directory_changes"]) == (7, 3)
    assert (values["author_changes"], values["directory_changes"], values["files_unseen"]) == (0, 0, 3)


def test_without_paths_the_places_are_not_known() -> None:
    values = named(history_of(keys_of("r", None, "claude", ()), {Key("r", "repository"): past(9)}))
    unknown = {name.partition("_")[0] for name in REMEMBERED if isnan(values[name])}
    assert {"directory", "file", "files"} <= unknown
    assert values["agent_changes"] == 0


def test_signals_are_numbers_where_claimed() -> None:
    values = named(signals=Signals(tests_passed=False, ci_status="pending", retries=3))
    assert (values["tests_passed"], values["retries"]) == (0.0, 3.0)
    assert isnan(values["ci_success"])
    assert isnan(values["linked_issue"])
    assert named(signals=Signals(ci_status="failure"))["ci_success"] == 0.0


def test_fix_type_sets_its_one_column() -> None:
    columns = ("is_feature", "is_fix", "is_rework", "is_upkeep")
    values = named(fix_type="perf")
    assert [values[name] for name in columns] == [0, 0, 1, 0]
    assert all(isnan(named(fix_type="whatever")[name]) for name in columns)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("fix", "fix"),
        ("Fix(api)!: do not lose it", "fix"),
        ("feat: more", "feat"),
        ("bug_fix", "fix"),
        ("performance", "perf"),
        ("deps(npm): bump", "build"),
        ("fix the thing", None),
        ("release notes", None),
        ("", None),
        (None, None),
    ],
)
def test_fix_types_are_read_from_words_and_conventional_prefixes(text: str | None, expected: str | None) -> None:
    assert normalize_fix_type(text) == expected


def test_names_are_unique_and_their_set_has_a_short_stable_name() -> None:
    assert len(set(FEATURES)) == len(FEATURES)
    # A new value here means that stored vectors and models no longer fit: say so in the change.
    assert FEATURE_SET == "45799aa5aa0bf26c"


def test_touched_paths_are_the_source_files_or_all_where_there_are_none() -> None:
    def paths(*names: str) -> tuple[str, ...]:
        return touched_paths(Diff(files=tuple(FileChange(name, None, "M", (), (), 1, False) for name in names)))

    assert paths("b.py", "README.md", "a.py", "tests/test_a.py") == ("b.py", "a.py")
    assert paths("README.md", "uv.lock") == ("README.md", "uv.lock")
    assert len(paths(*(f"{i}.py" for i in range(300)))) == MAX_FILES
