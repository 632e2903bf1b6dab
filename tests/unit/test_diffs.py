"""Diffs are read as git means them; what is cut, edited or no diff at all is refused with its line and the remedy."""

import random
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from shared.diffs import MAX_BYTES, DiffError, FileChange, parse

ONE = """diff --git a/app.py b/app.py
index 1111111..2222222 100644
--- a/app.py
+++ b/app.py
@@ -1,3 +1,4 @@
 import os
-x = 1
+x = 2
+y = 3
{space}
""".format(space=" ")


def only(text: str) -> FileChange:
    (change,) = parse(text).files
    return change


def test_a_modified_file_gives_its_lines_without_marks() -> None:
    assert only(ONE) == FileChange("app.py", None, "M", ("x = 2", "y = 3"), ("x = 1",), 1, False)


def test_an_empty_context_line_stripped_by_a_mailer_still_counts() -> None:
    assert only(ONE.replace("\n \n", "\n\n")) == only(ONE)


def test_a_diff_sent_with_crlf_reads_like_the_same_with_lf() -> None:
    assert only(ONE.replace("\n", "\r\n")) == only(ONE)


def test_a_carriage_return_of_the_file_itself_is_kept() -> None:
    assert only(ONE.replace("+y = 3", "+y = 3\r")).added == ("x = 2", "y = 3\r")


def test_form_feeds_and_unicode_separators_do_not_split_lines() -> None:
    assert only(ONE.replace("+y = 3", "+y\x0c=\u2028\x853")).added == ("x = 2", "y\x0c=\u2028\x853")


@pytest.mark.parametrize(
    ("text", "path", "old_path", "status"),
    [
        ("diff --git a/a b.txt b/a b.txt\nold mode 100644\nnew mode 100755\n", "a b.txt", None, "M"),
        ("diff --git a/x b/x\nnew file mode 100644\nindex 0000000..e69de29\n", "x", None, "A"),
        ("diff --git a/x b/x\ndeleted file mode 100644\nindex e69de29..0000000\n", "x", None, "D"),
        ("diff --git a/a b b/c d\nsimilarity index 100%\nrename from a b\nrename to c d\n", "c d", "a b", "R"),
        ("diff --git a/x b/y\nsimilarity index 90%\ncopy from x\ncopy to y\n", "y", "x", "C"),
        ("diff --git a/x b/a from b\nsimilarity index 100%\nrename from x\nrename to a from b\n", "a from b", "x", "R"),
        ('diff --git "a/\\303\\251 \\"q\\"" "b/\\303\\251 \\"q\\""\nnew file mode 100644\n', 'é "q"', None, "A"),
        ('diff --git a/x "b/t\\tb"\nsimilarity index 100%\nrename from x\nrename to "t\\tb"\n', "t\tb", "x", "R"),
        ("diff --git i/x w/x\nnew file mode 100644\n", "x", None, "A"),
        ("diff --git src/x src/x\nnew file mode 100644\n", "src/x", None, "A"),
        ("diff --git a/x b/x\nindex 1..2 100644\nBinary files a/x and b/x differ\n", "x", None, "M"),
        (
            "--- x.c\t2024-01-01 00:00:00.0 +0000\n+++ x.c\t2024-01-02 00:00:00.0 +0000\n@@ -1 +1 @@\n-a\n+b\n",
            "x.c",
            None,
            "M",
        ),
        (
            "--- x.c\t1970-01-01 01:00:00.0 +0100\n+++ x.c\t2024-01-02 00:00:00.0 +0000\n@@ -0,0 +1 @@\n+b\n",
            "x.c",
            None,
            "A",
        ),
        ("--- a/with space\t\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n", "with space", None, "D"),
        ("--- /dev/null\n+++ b/src/x\n@@ -0,0 +1 @@\n+a\n", "src/x", None, "A"),
        ("Only in new: z\nBinary files old/x and new/x differ\n", "new/x", None, "M"),
    ],
)
def test_headers_name_the_file_and_what_happened_to_it(text: str, path: str, old_path: str | None, status: str) -> None:
    change = only(text)
    assert (change.path, change.old_path, change.status) == (path, old_path, status)


def test_missing_newline_notes_are_no_lines() -> None:
    note = "\\ No newline at end of file\n"
    change = only(f"--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n{note}+b\n{note}")
    assert (change.added, change.deleted) == (("b",), ("a",))


def test_lines_that_look_like_headers_are_content_inside_a_hunk() -> None:
    text = "--- a/q.sql\n+++ b/q.sql\n@@ -1,2 +1,2 @@\n--- old comment\n-diff --git a/x b/x\n+++ new\n+@@ -1 +1 @@\n"
    assert only(text).deleted == ("-- old comment", "diff --git a/x b/x")
    assert only(text).added == ("++ new", "@@ -1 +1 @@")


def test_a_binary_patch_is_passed_over() -> None:
    blocks = "GIT binary patch\nliteral 4\nLc${NkU|;|M00aO5\n\nliteral 0\nHcmV?d00001\n\n"
    first, second = parse(f"diff --git a/i.png b/i.png\nnew file mode 100644\nindex 0..1\n{blocks}{ONE}").files
    assert (first.path, first.binary, first.status, second.path) == ("i.png", True, "A", "app.py")


def test_a_mail_with_message_diffstat_and_signature_gives_its_files() -> None:
    mail = f"From 0123 Mon Sep 17\nSubject: x\n\n- a list\n+ of things\n---\n app.py | 3 ++-\n\n{ONE}-- \n2.39.5\n\n"
    assert [change.path for change in parse(mail + mail).files] == ["app.py", "app.py"]


def test_a_combined_diff_counts_against_the_first_parent() -> None:
    text = (
        "diff --cc x y.py\nindex 1,2..3\n--- a/x y.py\n+++ b/x y.py\n@@@ -1,3 -1,3 +1,4 @@@\n"
        "  same\n- ours\n -theirs\n++merged\n +from ours\n+ from theirs\n"
    )
    change = only(text.replace("@@@ -1,3 -1,3 +1,4 @@@", "@@@ -1,3 -1,3 +1,4 @@@ def f"))
    assert (change.path, change.added, change.deleted) == ("x y.py", ("merged", "from theirs"), ("ours",))


@pytest.mark.parametrize("alike", [1, 3, 5_000])
def test_lines_of_a_merge_that_are_the_same_count_each(alike: int) -> None:
    lines = ["  same", "++new", "", "- ours", "\\ No newline at end of file", "", " -theirs"]
    text = "".join(f"{line}\n" * alike for line in lines)
    header = f"@@@ -1,{4 * alike} -1,{4 * alike} +1,{4 * alike + 1} @@@"
    change = only(f"diff --cc x\n--- a/x\n+++ b/x\n{header}\n{text}++end\n\n\n")
    assert change.added == ("new",) * alike + ("end",)
    assert change.deleted == ("ours",) * alike


def test_a_change_of_type_is_one_file() -> None:
    text = (
        "diff --git a/l b/l\ndeleted file mode 100644\n--- a/l\n+++ /dev/null\n@@ -1 +0,0 @@\n-text\n"
        "diff --git a/l b/l\nnew file mode 120000\n--- /dev/null\n+++ b/l\n@@ -0,0 +1 @@\n+target\n"
        "\\ No newline at end of file\n"
    )
    assert only(text) == FileChange("l", None, "T", ("target",), ("text",), 2, False)


@pytest.mark.parametrize(
    ("text", "word", "line"),
    [
        ("", "empty", None),
        (" \n", "empty", None),
        ("please fix the bug\n", "no diff", None),
        (ONE.replace("x = 2", "x\0"), "NUL", 8),
        (ONE.replace("x = 2", "x\udcff"), "UTF-8", 8),
        (ONE + "x" * MAX_BYTES, "more than", None),
        (ONE.removesuffix(" \n"), "unedited", 5),
        (ONE.removesuffix("+y = 3\n \n"), "unedited", 5),
        (ONE.replace("+y = 3\n", ""), "unedited", 5),
        (ONE + "+z = 4\n", "unedited", 5),
        (ONE + " more\n", "unedited", 5),
        (ONE.replace("+y", "y"), "unedited", 5),
        (ONE.replace("@@ -1,3 +1,4 @@", "@@ -1,3 1,4 @@"), "hunk header", 5),
        (ONE.replace("1,4 @@", f"1,{'9' * 5000} @@"), "hunk header", 5),
        ("--- a/x\n+++ b/x\n", "no hunk", 3),
        ("diff --git a/x b/x\n--- a/x\n", "without", 3),
        ("@@ -1 +1 @@\n-a\n+b\n", "without its file", 1),
        ("diff --git a/i b/i\nGIT binary patch\n", "content", 3),
        ("diff --cc x\n--- a/x\n+++ b/x\n@@@ -1 -1 +1 @@@\n++a\n", "unedited", 4),
        ("diff --git a b c d e f\nold mode 100644\nnew mode 100755\n", "name", None),
    ],
)
def test_what_is_no_whole_diff_is_refused_with_its_line(text: str, word: str, line: int | None) -> None:
    with pytest.raises(DiffError) as refused:
        parse(text)
    assert word in refused.value.reason
    assert line is None or refused.value.line == line


@pytest.mark.parametrize("number", [3, 40, 3000])
@pytest.mark.parametrize(
    "tail", ["", "\\ No newline at end of file\n", "-- \n2.39.5\n\n", "\n", "--- a/y\n+++ b/y\n@@ -0,0 +1 @@\n+\n"]
)
def test_a_hunk_of_any_length_ends_where_its_counts_say(number: int, tail: str) -> None:
    rng = random.Random(number)
    lines = [rng.choice("+- ") + rng.choice(LINES) for _ in range(number)] + ["+end"]
    old, new = (sum(line[0] in (" ", sign) for line in lines) for sign in "-+")
    start = f"--- a/x\n+++ b/x\n@@ -1,{old} +1,{new} @@\n"
    change = parse(start + "\n".join(lines) + "\n" + tail).files[0]
    assert change.added == tuple(line[1:] for line in lines if line[0] == "+")
    assert change.deleted == tuple(line[1:] for line in lines if line[0] == "-")
    for wrong in ([*lines, "+more"], ["text", *lines]):
        with pytest.raises(DiffError, match="line 3: the hunk has not the lines"):
            parse(start + "\n".join(wrong) + "\n" + tail)


def test_every_cut_inside_the_last_hunk_is_refused() -> None:
    start = ONE.index("@@\n") + 2
    ends = [i for i in range(start, len(ONE) - 1) if ONE[i] == "\n"]
    for end in ends:
        with pytest.raises(DiffError):
            parse(ONE[: end + 1])


@pytest.mark.parametrize("tail", [ONE, ONE.replace("app.py", "b.py").replace("index 1111111..2222222 100644\n", "")])
def test_a_diff_that_ends_anywhere_is_read_or_refused(tail: str) -> None:
    for end in range(len(tail)):
        for text in (tail[:end], ONE + tail[:end]):
            with suppress(DiffError):
                assert parse(text).files


def test_a_mebibyte_is_read_in_well_under_a_second() -> None:
    body = "".join(f"+    value_{i} = compute({i})  # note\n" for i in range(24_000))
    text = f"--- /dev/null\n+++ b/big.py\n@@ -0,0 +1,24000 @@\n{body}"
    started = time.process_time()
    assert len(only(text).added) == 24_000
    # Measured at about 10 ms; the bound leaves room for a busy machine, and still catches a quadratic reader.
    assert time.process_time() - started < 0.5


def test_a_merge_of_thousands_of_parents_is_read_in_time_that_grows_with_its_text_alone() -> None:
    parents, lines = 20_000, 100_000
    mark, counts = "@" * (parents + 1), f" -1,{lines}" * parents
    text = f"diff --cc x\n--- a/x\n+++ b/x\n{mark}{counts} +1,{lines + 1} {mark}\n{'+' * parents}y\n" + "\n" * lines
    started = time.process_time()
    assert only(text).added == ("y",)
    # Measured at about 50 ms; a step a parent for each line would take minutes.
    assert time.process_time() - started < 1


def git(repository: Path, *arguments: str) -> str:
    settings = ("-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "core.autocrlf=false")
    done = subprocess.run(["git", "-C", str(repository), *settings, *arguments], check=True, capture_output=True)
    return done.stdout.decode()


NAMES = ["a.py", "dir/b c.ts", "dir/é.md", "x/tab\tq.rs", 'x/"q".c', "deep/er/-- .sql", "b/a b/c"]
LINES = [
    "",
    " ",
    "-- x",
    "++ y",
    "@@ -1 +1 @@",
    "text",
    "\tindented",
    "diff --git a/x b/x",
    "cr\r",
    "\\ slash",
    "--- a",
]


def edit(repository: Path, rng: random.Random) -> None:
    """A few random writes, deletions, renames and mode changes, without regard for what makes sense."""
    for name in rng.sample(NAMES, rng.randint(1, 5)):
        path = repository / name
        if path.exists() and rng.random() < 0.2:
            path.unlink()
        elif path.exists() and rng.random() < 0.3:
            target = repository / f"moved/{name}"
            target.parent.mkdir(parents=True, exist_ok=True)
            path.rename(target)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            old = path.read_bytes().decode().split("\n") if path.exists() else []
            kept = [line for line in old if rng.random() < 0.8] + rng.choices(LINES, k=rng.randint(0, 12))
            path.write_bytes(("\n".join(kept) + rng.choice(["", "\n"])).encode())
            path.chmod(rng.choice([0o644, 0o755]))
    if rng.random() < 0.3:
        (repository / "blob.bin").write_bytes(b"\0" + rng.randbytes(300))


def numstat(repository: Path, *options: str) -> list[tuple[str, str, str]]:
    """(added, deleted, path) as git counts them; "-" for binary files, the new name for moved ones."""
    parts = iter(git(repository, "diff", "--numstat", "-z", *options).split("\0"))
    rows = []
    for part in parts:
        if not part:
            continue
        added, deleted, path = part.split("\t", 2)
        if not path:
            next(parts)
            path = next(parts)
        rows.append((added, deleted, path))
    return sorted(rows)


def counted(change: FileChange) -> tuple[str, str, str]:
    if change.binary:
        return "-", "-", change.path
    return str(len(change.added)), str(len(change.deleted)), change.path


@pytest.mark.parametrize(
    ("moves", "form"),
    [("-M", "-U3"), ("-C", "-U1"), ("--no-renames", "-U0"), ("-M", "--binary"), ("-M", "--no-prefix"), ("-M", "-R")],
)
def test_counts_agree_with_git_on_random_edits(tmp_path: Path, moves: str, form: str) -> None:
    rng = random.Random(f"{moves} {form}")
    side = [form] if form == "-R" else []
    git(tmp_path, "init", "-q")
    for _ in range(12):
        edit(tmp_path, rng)
        git(tmp_path, "add", "-A")
        if text := git(tmp_path, "diff", "--cached", moves, form):
            counts = sorted(counted(change) for change in parse(text).files)
            assert counts == numstat(tmp_path, "--cached", moves, *side)
        git(tmp_path, "commit", "-qm", "step", "--allow-empty")
