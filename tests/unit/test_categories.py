import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import pytest

from shared.artefacts import ArtefactError, encode, sha256_of
from shared.categories import artefact
from shared.categories.artefact import SHIPPED, Numbers, Stored, decode, shipped
from shared.categories.model import CATEGORIES, SHAPE, Categorization, Change, categorize_all, decide
from shared.categories.tokens import count_words, read_words, title_words
from shared.diffs import Diff, FileChange


def categorize(diff: Diff, title: str | None = None) -> Categorization:
    return together([(diff, title)])[0]


def together(changes: Sequence[tuple[Diff, str | None]]) -> list[Categorization]:
    return categorize_all(shipped()[1], [Change.of(diff, read_words(diff, title)) for diff, title in changes])


def change(path="src/app.ts", added=(), deleted=(), status="M"):
    return FileChange(path, None, status, tuple(added), tuple(deleted), 1, False)


@dataclass
class Case:
    category: str
    title: str
    files: tuple[FileChange, ...]


CASES = [
    Case(
        "bug-fix",
        "fix: handle a missing user in the session callback",
        (
            change(
                "src/session.ts",
                ["  if (!user) return null;", "  return user?.name ?? '';"],
                ["  return user.name;"],
            ),
            change("src/session.test.ts", ["it('does not crash without a user', () => {", "});"]),
        ),
    ),
    Case(
        "performance",
        "perf: avoid cloning the buffer and cache the parsed index",
        (change("src/parse.rs", ["let cached = self.cache.get(&key);"], ["let copy = buffer.clone();"]),),
    ),
    Case(
        "refactor",
        "refactor: rename the helpers and move them to their own module",
        (
            change("src/names.py", ["def display_name(user):", "    return user.name"], status="A"),
            change(
                "src/user.py", ["from names import display_name"], ["def display_name(user):", "    return user.name"]
            ),
        ),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=[case.category for case in CASES])
def test_a_plain_case_is_recognised_with_its_title(case):
    assert categorize(Diff(case.files), case.title).category == case.category


def test_the_probabilities_are_of_the_four_categories_and_sum_to_one():
    found = categorize(Diff(CASES[0].files))

    assert set(found.probabilities) == set(CATEGORIES)
    assert sum(found.probabilities.values()) == pytest.approx(1.0)
    assert found.category_confidence == pytest.approx(found.probabilities["bug-fix"])


def test_a_change_of_guards_ranks_above_a_change_of_words_for_security():
    guard = change(
        "src/auth/redirect.ts",
        ["if (!isAllowedOrigin(url)) throw new ForbiddenError();", "const safe = sanitize(escape(input));"],
        ["redirect(url);"],
    )
    words = change("src/menu.tsx", ["<span>Settings</span>"], ["<span>Preferences</span>"])

    assert categorize(Diff((guard,))).security_rank > 0.9 > categorize(Diff((words,))).security_rank


def test_a_conventional_prefix_is_no_evidence():
    files = Diff(CASES[0].files)

    for prefix in ("perf(core)!", "bug-fix", "fix"):
        assert categorize(files, f"{prefix}: keep the session") == categorize(files, "keep the session")


def test_a_change_without_files_is_uncertain():
    assert categorize(Diff(()), None).category == "uncertain"


def test_a_probability_below_its_floor_is_uncertain_and_keeps_its_probabilities():
    table = msgspec.structs.replace(shipped()[1].without_title, offsets=np.zeros(4), floors=np.full(4, 0.6))

    unsure, sure = decide([0.5, 0.3, 0.1, 0.1], table), decide([0.7, 0.1, 0.1, 0.1], table)

    assert (unsure.category, unsure.category_confidence) == ("uncertain", 0.5)
    assert sure.category == "bug-fix"


def test_the_answer_is_the_same_in_another_process():
    script = (
        "from shared.categories.artefact import shipped\n"
        "from shared.categories.model import categorize\n"
        "from shared.categories.tokens import read_words\n"
        "from shared.diffs import Diff, FileChange\n"
        "d = Diff((FileChange('a/b.py', None, 'M', ('x = useMemo(cache)',), ('y = 1',), 1, False),))\n"
        "words = read_words(d, 'speed up')\n"
        "print(sorted(categorize(shipped()[1], d, words).probabilities.items()))"
    )
    seeds = ({"PYTHONHASHSEED": "1"}, {"PYTHONHASHSEED": "2"})
    first, second = (
        subprocess.run([sys.executable, "-c", script], env=seed, capture_output=True, text=True, check=True).stdout
        for seed in seeds
    )

    assert first == second != ""


def stored() -> Stored:
    return msgspec.json.decode(SHIPPED.read_bytes(), type=Stored)


def with_table(**numbers: Numbers | None) -> Stored:
    """What ships, with other numbers in the table without a title; None takes them away."""
    whole = stored()
    table = {name: each for name, each in (whole.tables["without_title"] | numbers).items() if each is not None}
    return msgspec.structs.replace(whole, tables=whole.tables | {"without_title": table})


def of(values, kind=np.float32) -> Numbers:
    return Numbers.of(np.array(values, kind))


def test_a_model_that_is_written_and_read_is_the_same():
    sha256, model = shipped()

    assert artefact.encode(model) == (sha256, SHIPPED.read_bytes())


BROKEN = {
    "another feature set": lambda: msgspec.structs.replace(stored(), feature_set="words-0"),
    "no tables": lambda: msgspec.structs.replace(stored(), tables={}),
    "a bias too few": lambda: with_table(bias=of([0, 0, 0])),
    "nothing said of floors": lambda: with_table(floors=None),
    "a number nobody asked for": lambda: with_table(more=of([1])),
    "NaN": lambda: with_table(bias=of([0, 0, np.nan, 0])),
    "a weight beyond all fits": lambda: with_table(offsets=of([0, 0, 1e9, 0])),
    "percentiles that fall": lambda: with_table(security=of(np.arange(101)[::-1])),
    "all said by the trees": lambda: with_table(share=of(1.0)),
    "a tree without leaves": lambda: with_table(forest_left=of([0], np.int32)),
    "no trees at all": lambda: with_table(forest_roots=of([], np.int32)),
    "more bytes than the shape has": lambda: with_table(bias=Numbers("f4", (4,), b"0" * 20)),
    "a shape below nothing": lambda: with_table(bias=Numbers("f4", (-2, -2), b"0" * 16)),
    "edges that fall": lambda: msgspec.structs.replace(
        stored(), edges=of(-np.cumsum(np.ones((len(SHAPE), 7)), axis=1))
    ),
    "edges of another shape": lambda: msgspec.structs.replace(stored(), edges=of([[0.0]])),
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_numbers_that_could_not_answer_are_refused_before_they_are_used(broken):
    sha256, data = encode(broken())

    with pytest.raises(ArtefactError):
        decode(data, sha256=sha256)


def test_bytes_that_are_no_model_are_refused():
    for data in (b"", b"{}", b"[" * 100_000, SHIPPED.read_bytes()[:-1]):
        with pytest.raises(ArtefactError):
            decode(data, sha256=sha256_of(data))
    with pytest.raises(ArtefactError, match="sha256"):
        decode(SHIPPED.read_bytes(), sha256="0" * 64)


def test_an_identifier_counts_as_its_parts_and_as_a_whole():
    assert count_words(["useMemo(HTTPServer) ?? snake_case2"]) == {
        "use": 1, "memo": 1, "usememo": 1, "http": 1, "server": 1, "httpserver": 1, "??": 1, "snake": 1, "case": 1,
        "snake_case2": 1,
    }  # fmt: skip


def test_what_both_sides_have_is_kept_and_only_the_surplus_is_gained_or_lost():
    words = read_words(Diff((change(added=["cache cache guard"], deleted=["cache slow"]),)), None)

    assert words.gained == {"cache": 1, "guard": 1}
    assert words.lost == {"slow": 1}
    assert words.kept == {"cache": 1}


def test_a_title_is_read_without_prefix_and_pull_request_number():
    assert title_words("fix(api)!: Keep the cursor (#123)") == ("keep", "the", "cursor")


def test_a_huge_change_is_read_up_to_a_limit():
    words = read_words(Diff((change(added=[f"word{i} " * 20 for i in range(100_000)]),)), None)

    assert len(words.added) < 2000


def test_changes_are_categorized_together_as_one_by_one() -> None:
    """With a title and without, with words and without."""
    changes = [(Diff(case.files), title) for case in CASES for title in (case.title, None)]
    changes[1:1] = [(Diff(()), None), (Diff(()), "nothing"), (Diff((change(),)), None)]
    for found, alone in zip(together(changes), [categorize(*each) for each in changes], strict=True):
        assert (found.category, found.security_rank) == (alone.category, alone.security_rank)
        assert found.probabilities == pytest.approx(alone.probabilities, abs=1e-6)
    assert together([]) == []
