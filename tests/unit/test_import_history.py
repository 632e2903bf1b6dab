"""From a real git repository to the lines that are imported."""

import os
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cli import checkout, git_log
from cli.bodies import MOST_DIFF_BYTES, BulkLine
from cli.git_log import GitError
from cli.history import fixes
from cli.line_changes import file_changes
from cli.outcomes import Outcomes
from cli.report import Report

START = datetime(2026, 1, 1, tzinfo=UTC)
CODE = "def area(width, height):\n    return width + height\n"
FIXED = CODE.replace("+", "*")
# Settings of users that change what a bare `git log` prints.
CONFIGURED = {
    "color.ui": "always",
    "core.abbrev": "30",
    "core.attributesFile": "attributes",
    "core.pager": "/bin/false",
    "diff.algorithm": "patience",
    "diff.context": "0",
    "diff.external": "/bin/false",
    "diff.ignoreSubmodules": "all",
    "diff.mnemonicPrefix": "true",
    "diff.noprefix": "true",
    "diff.orderFile": "nowhere",
    "diff.renameLimit": "1",
    "diff.renames": "false",
    "format.pretty": "oneline",
    "log.date": "relative",
    "log.showSignature": "true",
}


class Repository:
    """A git repository whose history is written day by day."""

    def __init__(self, path: Path, *options: str) -> None:
        self.path = path
        path.mkdir()
        self.git("init", "-q", "-b", "main", *options)

    def git(self, *args: str, day: float = 0) -> str:
        date = (START + timedelta(days=day)).isoformat()
        env = os.environ | {"GIT_CONFIG_GLOBAL": "/dev/null"}
        for who in ("AUTHOR", "COMMITTER"):
            env |= {f"GIT_{who}_NAME": "Ada", f"GIT_{who}_EMAIL": "ada@example.org", f"GIT_{who}_DATE": date}
        argv = ["git", "-C", str(self.path), *args]
        return subprocess.run(argv, env=env, check=True, capture_output=True, text=True).stdout.strip()

    def commit(self, day: float, message: str, **files: str | None) -> str:
        """Keyword `a__py` is the file `a.py`; null deletes it. Returns the sha."""
        for name, content in files.items():
            file = self.path / name.replace("__", ".")
            if content is None:
                file.unlink()
            else:
                file.write_text(content)
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message, day=day)
        return self.git("rev-parse", "HEAD")

    def imported(self, until_day: float = 1000, report: Report | None = None) -> list[BulkLine]:
        revision = checkout.branch(self.path)
        until = START + timedelta(days=until_day)
        selected = git_log.selection(self.path, None, None)
        commits = git_log.read(self.path, revision, selected)
        return list(fixes(commits, "acme/area", report or Report(), until, git_log.Branch(self.path, revision)))

    def outcomes(self, until_day: float = 1000) -> dict[str, tuple[str, float, str | None] | None]:
        """sha -> kind, day observed, detail; null while not known."""
        return {
            fix.external_id: fix.outcome
            and (fix.outcome.kind, (fix.outcome.observed_at - START) / timedelta(days=1), fix.outcome.detail)
            for fix in self.imported(until_day)
        }


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "area")


def test_a_commit_becomes_a_fix_without_its_email_address(repository: Repository) -> None:
    sha = repository.commit(0, "feat(core): area\n\nCo-authored-by: Claude <noreply@anthropic.com>", a__py=CODE)
    (fix,) = repository.imported()
    assert (fix.external_id, fix.repository, fix.agent_id, fix.author) == (sha, "acme/area", "claude", "Ada")
    assert (fix.title, fix.fix_type, fix.submitted_at) == ("feat(core): area", "feat", START)
    assert fix.diff.startswith("diff --git a/a.py b/a.py\n")
    assert "+    return width + height\n" in fix.diff


def test_lines_rewritten_by_a_later_fix_fail_their_commit(repository: Repository) -> None:
    first = repository.commit(0, "feat: area", a__py=CODE)
    fix = repository.commit(10, "fix: multiply", a__py=FIXED)
    assert repository.outcomes() == {first: ("fixed_again", 10, fix), fix: ("held", 40, None)}


@pytest.mark.parametrize(
    ("day", "message"), [(31, "fix: multiply"), (10, "refactor: multiply"), (10, "fix(docs): multiply")]
)
def test_a_late_fix_or_another_kind_of_change_fails_nobody(repository: Repository, day: int, message: str) -> None:
    first = repository.commit(0, "feat: area", a__py=CODE)
    repository.commit(day, message, a__py=FIXED)
    assert repository.outcomes()[first] == ("held", 30, None)


def test_the_last_adder_is_blamed_not_the_first(repository: Repository) -> None:
    first = repository.commit(0, "feat: area", a__py="def area(width, height):\n    raise NotImplementedError\n")
    second = repository.commit(5, "feat: compute it", a__py=CODE)
    fix = repository.commit(10, "fix: multiply", a__py=FIXED)
    assert repository.outcomes() == {
        first: ("held", 30, None),
        second: ("fixed_again", 10, fix),
        fix: ("held", 40, None),
    }


def test_renames_are_followed(repository: Repository) -> None:
    first = repository.commit(0, "feat: area", a__py=CODE)
    repository.commit(1, "refactor: a better name", a__py=None, area__py=CODE)
    fix = repository.commit(2, "fix: multiply", area__py=FIXED)
    assert repository.outcomes()[first] == ("fixed_again", 2, fix)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("# the area\nx_size = 1\n", "# the surface\nx_size = 1\n"),
        ("import area\nx_size = 1\n", "import surface\nx_size = 1\n"),
        ("x_size = 1\ny_size = 2\n", "y_size = 2\nx_size = 1\n"),
        ("x_size = [\n]\n", "x_size = [\n"),
    ],
)
def test_comments_imports_moves_and_punctuation_blame_nobody(repository: Repository, before: str, after: str) -> None:
    first = repository.commit(0, "feat: area", a__py=before)
    repository.commit(1, "fix: it", a__py=after)
    assert repository.outcomes()[first] == ("held", 30, None)


def test_a_fix_that_sweeps_over_many_files_blames_nobody(repository: Repository) -> None:
    first = repository.commit(0, "feat: area", **{f"a{number}__py": CODE for number in range(61)})
    repository.commit(1, "fix: everything", **{f"a{number}__py": FIXED for number in range(61)})
    assert repository.outcomes()[first] == ("held", 30, None)


@pytest.mark.parametrize("quoting", [False, True])
def test_a_reverted_commit_failed(repository: Repository, quoting: bool) -> None:
    first = repository.commit(0, "feat: area", a__py=CODE)
    message = 'Revert "feat: area" (#7)' if quoting else f"Undo the area\n\nThis reverts commit {first}."
    revert = repository.commit(3, message, a__py="")
    assert repository.outcomes()[first] == ("reverted", 3, revert)


def test_all_that_one_message_takes_back_failed(repository: Repository) -> None:
    first, second = repository.commit(0, "feat: area", a__py=CODE), repository.commit(1, "feat: b", b__py=CODE)
    kept = repository.commit(2, "feat: c", c__py=CODE)
    message = f"Undo both\n\nThis reverts commit {first}.\nThis reverts commit {second[:9]}."
    revert = repository.commit(3, message, a__py="", b__py="")
    found = repository.outcomes()
    assert found[first] == found[second] == ("reverted", 3, revert)
    assert found[kept] == ("held", 32, None)


def test_a_pull_request_is_taken_back_by_its_number(repository: Repository) -> None:
    first = repository.commit(0, "Area (#12)", a__py=CODE)
    repository.commit(1, "More of it (#112)", b__py=CODE)
    revert = repository.commit(3, "Take the area back (#14)\n\nReverts acme/area#12", a__py="")
    found = repository.outcomes()
    assert found[first] == ("reverted", 3, revert)
    assert [sha for sha, outcome in found.items() if outcome and outcome[0] == "reverted"] == [first]


def test_a_reverted_merge_takes_back_what_it_brought(repository: Repository) -> None:
    repository.commit(0, "feat: base", base__py=CODE)
    repository.git("checkout", "-q", "-b", "area")
    brought = [repository.commit(day, f"feat: part {day}", **{f"part{day}__py": CODE}) for day in (1, 2)]
    repository.git("checkout", "-q", "main")
    beside = repository.commit(3, "feat: beside", beside__py=CODE)
    repository.git("merge", "-q", "--no-ff", "-m", "Merge branch 'area'", "area", day=4)
    repository.git("revert", "-m", "1", "--no-edit", "HEAD", day=5)
    revert = repository.git("rev-parse", "HEAD")
    found = repository.outcomes()
    assert [found[sha] for sha in brought] == [("reverted", 5, revert)] * 2
    assert found[beside] == ("held", 33, None)


def test_every_parent_but_the_first_of_a_reverted_merge_is_taken_back(repository: Repository) -> None:
    repository.commit(0, "feat: base", base__py=CODE)
    brought = []
    for name in ("left", "right"):
        repository.git("checkout", "-q", "-b", name, "main")
        brought.append(repository.commit(1, f"feat: {name}", **{f"{name}__py": CODE}))
    repository.git("checkout", "-q", "main")
    repository.commit(1, "feat: beside", beside__py=CODE)
    repository.git("merge", "-q", "-m", "Merge both", "left", "right", day=2)
    repository.git("revert", "-m", "1", "--no-edit", "HEAD", day=3)
    found = repository.outcomes()
    assert [outcome and outcome[0] for outcome in map(found.get, brought)] == ["reverted"] * 2


def test_a_reverted_pull_request_takes_back_what_its_merge_brought(repository: Repository) -> None:
    repository.commit(0, "feat: base", base__py=CODE)
    repository.git("checkout", "-q", "-b", "area")
    brought = repository.commit(1, "feat: part", part__py=CODE)
    repository.git("checkout", "-q", "main")
    repository.git("merge", "-q", "--no-ff", "-m", "Merge pull request #10 from acme/area", "area", day=2)
    revert = repository.commit(3, 'Revert "The area" (#12)\n\nReverts acme/area#10', part__py=None)
    assert repository.outcomes()[brought] == ("reverted", 3, revert)


def test_a_number_says_more_than_a_title(repository: Repository) -> None:
    tenth = repository.commit(0, "chore: update data (#10)", a__py=CODE)
    eleventh = repository.commit(1, "chore: update data (#11)", b__py=CODE)
    message = 'Revert "chore: update data (#10)" (#12)\n\nReverts acme/area#10'
    revert = repository.commit(2, message, a__py=None)
    found = repository.outcomes()
    assert (found[tenth], found[eleventh]) == (("reverted", 2, revert), ("held", 31, None))


def test_two_reverts_by_one_title_take_two_back(repository: Repository) -> None:
    shas = [repository.commit(day, "Bump it", **{f"a{day}__py": CODE}) for day in (0, 1)]
    repository.commit(2, 'Revert "Bump it"', a1__py=None)
    repository.commit(3, 'Revert "Bump it"', a0__py=None)
    found = repository.outcomes()
    assert [outcome and outcome[0] for outcome in map(found.get, shas)] == ["reverted"] * 2


def test_a_number_of_another_repository_says_nothing_without_the_title(repository: Repository) -> None:
    ours = repository.commit(0, "feat: area (#10)", a__py=CODE)
    repository.commit(1, "chore: as upstream has it (#11)\n\nReverts upstream/lib#10", a__py=FIXED)
    assert repository.outcomes()[ours] == ("held", 30, None)


def test_a_sha_that_the_branch_never_had_leaves_the_title_to_say_it(repository: Repository) -> None:
    """As after a rebase."""
    first = repository.commit(0, "feat: area", a__py=CODE)
    message = f'Revert "feat: area"\n\nThis reverts commit {"0123456789" * 4}.'
    revert = repository.commit(3, message, a__py=None)
    assert repository.outcomes()[first] == ("reverted", 3, revert)


def test_a_range_takes_back_all_but_where_it_begins(repository: Repository) -> None:
    shas = [repository.commit(day, f"feat: {day}", **{f"a{day}__py": CODE}) for day in range(4)]
    message = f"Undo\n\nThis reverts commits {shas[0]}..{shas[2]}."
    repository.commit(5, message, a1__py=None, a2__py=None)
    found = repository.outcomes()
    assert [outcome and outcome[0] for outcome in map(found.get, shas)] == ["held", "reverted", "reverted", "held"]


@pytest.mark.parametrize("is_root", [True, False])
def test_whoever_touches_none_of_its_files_takes_nothing_back(repository: Repository, is_root: bool) -> None:
    if not is_root:
        repository.commit(0, "feat: base", base__py=CODE)
    first = repository.commit(0, "feat: area (#1)", a__py=CODE)
    message = f'feat: volume\n\n* Revert "feat: area (#1)"\n\nThis reverts commit {first}.\n\n* Reapply it'
    repository.commit(1, message, b__py=CODE)
    assert repository.outcomes()[first] == ("held", 30, None)


def test_one_message_takes_a_merge_and_a_commit_back(repository: Repository) -> None:
    repository.commit(0, "feat: base", base__py=CODE)
    repository.git("checkout", "-q", "-b", "area")
    brought = repository.commit(1, "feat: part", part__py=CODE)
    repository.git("checkout", "-q", "main")
    repository.git("merge", "-q", "--no-ff", "-m", "Merge branch 'area'", "area", day=2)
    merge = repository.git("rev-parse", "HEAD")
    alone = repository.commit(3, "feat: alone", alone__py=CODE)
    message = f"Undo both\n\nThis reverts commits {merge} and {alone}."
    revert = repository.commit(4, message, part__py=None, alone__py=None)
    found = repository.outcomes()
    assert found[brought] == found[alone] == ("reverted", 4, revert)


def test_a_sha_of_sixty_four_digits_is_one(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "area", "--object-format=sha256")
    first = repository.commit(0, "feat: area", a__py=CODE)
    revert = repository.commit(3, f"Undo it\n\nThis reverts commit {first}.", a__py=None)
    assert repository.outcomes()[first] == ("reverted", 3, revert)


def test_a_whole_tree_that_is_renamed_is_still_who_wrote_it(repository: Repository) -> None:
    lines = "".join(f"value_{number} = {number}\n" for number in range(9))
    names = [f"m{number}" for number in range(1100)]
    first = repository.commit(0, "feat: modules", **{f"{n}__js": f"{n}_x = 1\n{lines}" for n in names})
    moved = {f"{n}__js": None for n in names} | {f"{n}__ts": f"{n}_x = 1\n{lines}more = 1\n" for n in names}
    repository.commit(1, "refactor: other names", **moved)
    fix = repository.commit(2, "fix: three", m3__ts=f"m3_x = 2\n{lines}more = 1\n")
    assert repository.outcomes()[first] == ("fixed_again", 2, fix)


def test_a_clock_that_is_ahead_leaves_the_newest_commit_open(repository: Repository) -> None:
    ahead = (datetime.now(UTC) - START) / timedelta(days=1) + 0.1
    repository.commit(0, "feat: area", a__py=CODE)
    newest = repository.commit(ahead, "feat: volume", b__py=CODE)
    assert repository.outcomes(until_day=ahead)[newest] is None


def test_nothing_is_said_of_the_last_thirty_days_but_failures(repository: Repository) -> None:
    old = repository.commit(0, "feat: area", a__py=CODE)
    young = repository.commit(20, "feat: perimeter", b__py="def perimeter(): return 4\n")
    failed = repository.commit(21, "feat: volume", c__py="def volume(): return 8\n")
    fix = repository.commit(22, "fix: volume", c__py="def volume(): return 9\n")
    assert repository.outcomes(until_day=31) == {
        old: ("held", 30, None),
        young: None,
        failed: ("fixed_again", 22, fix),
        fix: None,
    }


def test_commits_come_oldest_first_without_merges_and_without_empty_ones(repository: Repository) -> None:
    first = repository.commit(0, "feat: area", a__py=CODE)
    repository.git("switch", "-qc", "side")
    side = repository.commit(1, "feat: perimeter", b__py="perimeter = 4\n")
    repository.git("switch", "-q", "main")
    main = repository.commit(2, "feat: volume", c__py="volume = 8\n")
    repository.git("merge", "-q", "--no-ff", "-m", "Merge side", "side", day=3)
    repository.commit(4, "chore: nothing")
    report = Report()
    assert [fix.external_id for fix in repository.imported(report=report)] == [first, side, main]
    assert report.left_out["commits without a diff"] == 1


def test_the_users_git_configuration_changes_nothing(repository: Repository) -> None:
    repository.commit(0, "feat: area", a__py=CODE)
    repository.commit(1, "feat: rename", a__py=None, b__py=CODE)
    plain = repository.imported()
    (repository.path / "attributes").write_text("*.py binary\n")
    for name, value in CONFIGURED.items():
        repository.git("config", name, value)
    assert repository.imported() == plain


def test_odd_names_and_bytes_survive(repository: Repository) -> None:
    odd = repository.path / 'tab\tquote" ü name.py'
    odd.write_bytes(b"name = '\xff\xfe'\nother = 1\n")
    first = repository.commit(0, "feat: ünïcode \U0001f41b")
    odd.write_bytes(b"name = '\xff'\nother = 2\n")
    fix = repository.commit(1, "fix: it")
    assert repository.outcomes()[first] == ("fixed_again", 1, fix)
    assert "+name = '\ufffd\ufffd'" in repository.imported()[0].diff


@pytest.mark.parametrize("wrong", [1400, -20_000], ids=["four years ahead", "in the seventies"])
def test_a_clock_that_was_wrong_moves_nobody_elses_time(repository: Repository, wrong: float) -> None:
    repository.commit(0, "feat: before", d__py=CODE)
    repository.commit(0, "feat: area", a__py=CODE)
    repository.commit(wrong, "feat: from elsewhere", b__py=CODE)
    repository.commit(1, "fix: area multiplies", a__py=FIXED)
    repository.commit(2, "feat: the last", c__py=CODE)
    _, area, elsewhere, *_ = repository.imported(until_day=10)
    assert area.outcome is not None
    assert (area.outcome.kind, area.outcome.observed_at) == ("fixed_again", START + timedelta(days=1))
    assert elsewhere.submitted_at == START
    assert elsewhere.outcome is None


def test_a_commit_comes_after_its_parent_whatever_their_clocks_say(repository: Repository) -> None:
    repository.commit(0, "feat: before", b__py=CODE)
    repository.commit(0, "feat: area", a__py=CODE)
    repository.git("checkout", "-q", "-b", "side")
    repository.commit(-9000, "fix: area multiplies", a__py=FIXED)
    repository.git("checkout", "-q", "main")
    repository.commit(1, "feat: other", c__py=CODE)
    repository.git("merge", "-q", "-m", "merge", "side", day=2)
    _, area, *others = repository.imported()
    assert (area.title, area.outcome and area.outcome.kind) == ("feat: area", "fixed_again")
    assert all(other.submitted_at >= START for other in others)


def test_a_diff_that_forges_a_separator_is_still_one_commit(repository: Repository) -> None:
    text = "x" * 9000 + "\n\0" + "a" * 32 + "\0" + "b" * 40 + "\0001\0n\0e\0s\0\n"
    repository.commit(0, "feat: forged", forged__py=text, a__py=CODE)
    report = Report()
    (fix,) = repository.imported(report=report)
    assert "forged.py" not in fix.diff
    assert "a.py" in fix.diff
    assert report.left_out["files of too long a diff, or with NUL"] == 1


def test_too_long_a_diff_is_sent_without_its_largest_files(repository: Repository) -> None:
    repository.commit(0, "feat: much", big__py="x = 1  # long\n" * 100_000, a__py=CODE, z__py=FIXED)
    (fix,) = repository.imported()
    assert len(fix.diff.encode()) <= MOST_DIFF_BYTES
    assert "big.py" not in fix.diff
    assert fix.diff.index("b/a.py") < fix.diff.index("b/z.py")
    assert fix.diff.count("\n@@ ") == 2


def test_what_grows_in_json_is_left_out_too(repository: Repository) -> None:
    repository.commit(0, "feat: signs", signs__py="x = '" + "\x1b" * 750_000 + "'\n", a__py=CODE)
    (fix,) = repository.imported()
    assert ("signs.py" in fix.diff, "a.py" in fix.diff) == (False, True)


def test_a_large_file_that_does_not_fit_leaves_room_for_those_that_do(repository: Repository) -> None:
    (repository.path / "bytes.py").write_bytes(b"\xff" * 310_000 + b"\n")
    repository.commit(0, "feat: much", text__py="x = 1\n" * 120_000, a__py=CODE)
    (fix,) = repository.imported()
    assert ("text.py" in fix.diff, "bytes.py" in fix.diff, "a.py" in fix.diff) == (True, False, True)


@pytest.mark.parametrize(
    ("name", "counts"), [("license_check.py", True), ("LICENSE", False), ("CHANGELOG-1.md", False)]
)
def test_what_checks_licenses_is_source(repository: Repository, name: str, counts: bool) -> None:
    (repository.path / name).write_text(CODE)
    first = repository.commit(0, "feat: area")
    (repository.path / name).write_text(FIXED)
    repository.commit(1, "fix: it")
    found = repository.outcomes()[first]
    assert (found is not None and found[0] == "fixed_again") == counts


def test_only_the_last_thirty_days_are_remembered(repository: Repository) -> None:
    for day in range(0, 120, 10):
        repository.commit(day, f"feat: {day}", **{f"f{day}__py": f"value_{day} = {day}\n"})
    window: Outcomes[None] = Outcomes("acme/area", git_log.Branch(repository.path, "main"))
    for commit in git_log.read(repository.path, "main"):
        list(window.push(commit.sha, commit.time, commit.message, file_changes(commit.diff), None))
    assert len(window._pending) == 4
    assert sorted(window._adders) == ["f100.py", "f110.py", "f80.py", "f90.py"]


def test_a_directory_without_history_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(GitError, match=f"{tmp_path}: not a git repository"):
        checkout.branch(tmp_path)
    with pytest.raises(GitError, match="no commit yet"):
        checkout.branch(Repository(tmp_path / "empty").path)


def test_a_repository_of_somebody_else_is_refused_with_what_git_says_to_do(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.commit(0, "feat: area", a__py=CODE)
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    with pytest.raises(GitError, match=r"safe\.directory"):
        checkout.branch(repository.path)


def test_without_git_that_is_said(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(GitError, match="install it"):
        checkout.branch(repository.path)


@pytest.mark.parametrize("depth", [1, 3])
def test_where_a_shallow_clone_begins_nothing_is_taken_for_a_change(
    repository: Repository, tmp_path: Path, depth: int
) -> None:
    """Its first commit looks as if it had written every file, and would be to blame for whatever is mended later."""
    for day in range(5):
        repository.commit(day, f"fix: number {day}", a__py=CODE.replace("height\n", f"{day}\n"), b__py=CODE)
    clone = Repository.__new__(Repository)
    clone.path = tmp_path / "clone"
    repository.git("clone", "-q", f"--depth={depth}", f"file://{repository.path}", str(clone.path))
    assert [fix.title for fix in clone.imported()] == [f"fix: number {day}" for day in range(6 - depth, 5)]
    assert len(checkout.cut_off(clone.path)) == 1
    assert checkout.cut_off(repository.path) == []


def test_a_history_that_breaks_off_is_an_error_and_not_an_end(repository: Repository) -> None:
    sha = repository.commit(0, "feat: area", a__py=CODE)
    blob = repository.git("rev-parse", f"{sha}:a.py")
    (repository.path / ".git/objects" / blob[:2] / blob[2:]).unlink()
    with pytest.raises(GitError, match=blob):
        repository.imported()


@pytest.mark.parametrize(
    ("origin", "name"),
    [
        ("https://github.com/acme/area.git", "acme/area"),
        ("git@github.com:acme/area.git", "acme/area"),
        ("ssh://git@git.example.org:2222/acme/area", "acme/area"),
        ("ssh://git@[::1]:22/acme/area.git/", "acme/area"),
        ("https://x-access-token:a-secret@github.com/acme/area.git", "acme/area"),
        ("https://gitlab.com/acme/group/area.git", "acme/group/area"),
        ("github.com:acme/area.git", "acme/area"),
        ("git@host:~/area.git", "area"),
        ("hub:acme/area", "acme/area"),
        ("/srv/git/elsewhere.git", "area"),
        ("file:///srv/git/elsewhere.git", "area"),
        (None, "area"),
    ],
)
def test_the_repository_is_named_by_its_origin(repository: Repository, origin: str | None, name: str) -> None:
    repository.git("config", "url.https://github.com/.insteadOf", "hub:")
    if origin:
        repository.git("remote", "add", "origin", origin)
    assert checkout.name_of(repository.path) == name


def test_a_repository_without_origin_has_one_name_wherever_in_it_one_stands(repository: Repository) -> None:
    repository.commit(0, "feat: area", a__py=CODE)
    (repository.path / "src").mkdir()
    repository.git("worktree", "add", "-q", "../beside")
    places = (repository.path / "src", repository.path / ".git", repository.path.parent / "beside")
    assert [checkout.name_of(place) for place in places] == ["area"] * 3


def test_a_tag_is_not_taken_for_the_branch_of_its_name(repository: Repository) -> None:
    repository.commit(0, "feat: area", a__py=CODE)
    repository.git("tag", "main")
    newest = repository.commit(1, "feat: more", b__py=CODE)
    assert repository.imported()[-1].external_id == newest
    with pytest.raises(GitError, match="no branch '--all'"):
        checkout.branch(repository.path, "--all")


def test_another_repository_in_the_environment_is_left_alone(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a hook."""
    other = Repository(tmp_path / "other")
    other.commit(0, "feat: other", b__py=CODE)
    sha = repository.commit(0, "feat: area", a__py=CODE)
    monkeypatch.setenv("GIT_DIR", str(other.path / ".git"))
    monkeypatch.setenv("GIT_DIFF_OPTS", "-u0")
    (fix,) = repository.imported()
    assert fix.external_id == sha


MAIN, REMOTE = "refs/heads/main", "refs/remotes/origin/main"
# Days from now.
CLONED, FETCHED, LATER = -90, -60, 365


def aged(directory: Path, days: float) -> None:
    """As if it had been written then."""
    at = (datetime.now(UTC) + timedelta(days=days)).timestamp()
    for path in directory.rglob("*"):
        os.utime(path, (at, at), follow_symlinks=False)


class Clone(Repository):
    def __init__(self, path: Path, origin: Repository) -> None:
        self.path = path
        origin.git("clone", "-q", str(origin.path), str(path))

    def known_days(self, revision: str = REMOTE) -> int:
        """How many days from now."""
        now = datetime.now(UTC)
        return round(
            (checkout.observed_until(self.path, revision, now + timedelta(days=LATER)) - now).total_seconds() / 86400
        )


@pytest.fixture
def clone(repository: Repository, tmp_path: Path) -> Clone:
    """Made 90 days ago."""
    repository.commit(0, "feat: area", a__py=CODE)
    made = Clone(tmp_path / "clone", repository)
    aged(made.path / ".git", CLONED)
    return made


def test_a_repository_of_ones_own_is_known_until_now(repository: Repository) -> None:
    repository.commit(0, "feat: area", a__py=CODE)
    now = datetime.now(UTC)
    assert checkout.observed_until(repository.path, MAIN, now) == now


def test_a_clone_is_known_until_it_was_made_or_fetched_for(clone: Clone) -> None:
    assert clone.known_days() == CLONED
    clone.git("fetch", "-q")
    assert clone.known_days() == clone.known_days(MAIN) == 0


def test_a_fetch_in_another_worktree_counts(clone: Clone) -> None:
    clone.git("worktree", "add", "-q", "--detach", "../beside")
    clone.git("-C", "../beside", "fetch", "-q")
    assert clone.known_days() == 0


@pytest.mark.parametrize(
    "commands",
    [
        ["gc -q"],
        ["remote set-url origin /nowhere", "-c core.askPass=true fetch -q"],
        ["fetch -q ../other main"],
        ["fetch -q origin side:refs/remotes/origin/side"],
    ],
    ids=["gc", "failed", "of another", "another branch"],
)
def test_what_is_no_fetch_of_the_branch_does_not_count(
    clone: Clone, repository: Repository, tmp_path: Path, commands: list[str]
) -> None:
    Repository(tmp_path / "other").commit(0, "feat: other", b__py=CODE)
    repository.git("checkout", "-q", "-b", "side")
    repository.commit(1, "feat: aside", side__py=CODE)
    repository.git("checkout", "-q", "main")
    for command in commands:
        subprocess.run(["git", "-C", str(clone.path), *command.split()], capture_output=True, check=False)
    assert clone.known_days() == CLONED


def test_a_branch_that_lacks_what_was_fetched_is_known_until_its_last_commit(
    clone: Clone, repository: Repository
) -> None:
    repository.commit(3, "feat: more", b__py=CODE)
    clone.git("fetch", "-q")
    behind = START - datetime.now(UTC)
    assert (clone.known_days(), clone.known_days(MAIN)) == (0, round(behind / timedelta(days=1)))
