"""What a commit message says."""

import pytest

from cli.messages import fix_type, is_fix, reverted_sha, reverted_subject


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        ("fix(api)!: refuse empty names", "fix"),
        ("Hotfix: the queue", "fix"),
        ("feature: streaming", "feat"),
        ('Revert "feat: streaming"', "revert"),
        ("Merge things: and more", None),
        ("wip: half of it", None),
    ],
)
def test_the_conventional_prefix_gives_the_type_in_one_spelling(subject: str, expected: str | None) -> None:
    assert fix_type(subject) == expected


@pytest.mark.parametrize("message", ["fix: a crash", "hotfix(db): lock", "Fixed the undo", "Bugfix in parser"])
def test_a_repair_is_recognised(message: str) -> None:
    assert is_fix(message)


@pytest.mark.parametrize(
    "message",
    ["feat: fix none, add much", "fix(deps): bump", "Fix typo", "fix lint", "Add prefix handling", "chore: x\n\nfixes"],
)
def test_what_only_sounds_like_a_repair_is_none(message: str) -> None:
    assert not is_fix(message)


def test_a_revert_names_what_it_reverts() -> None:
    message = 'Revert "feat: streaming (#12)" (#14)\n\nThis reverts commit 0123456789abcdef0123456789abcdef01234567.'
    assert reverted_sha(message) == "0123456789abcdef0123456789abcdef01234567"
    assert reverted_subject(message) == "feat: streaming"
    assert reverted_sha("feat: streaming") is None
