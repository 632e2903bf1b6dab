"""What a commit message says."""

import pytest

from cli.messages import Reverted, fix_type, is_fix, reverted


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


SHA, OTHER = "0123456789abcdef0123456789abcdef01234567", "fedcba9"


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            f'Revert "feat: streaming (#12)" (#14)\n\nThis reverts commit {SHA}.',
            Reverted((SHA,), "feat: streaming", None),
        ),
        ('Revert "feat: streaming" (#14)\n\nReverts acme/shop#12', Reverted((), "feat: streaming", 12)),
        ("revert(api): feat: streaming (#12)", Reverted((), "feat: streaming", None)),
        ("Take streaming back (#14)\n\nReverts #12.", Reverted((), None, 12)),
        ("revert #12: no streaming (#14)", Reverted((), None, 12)),
        ('Revert "feat: a title that is cut (#1… (#14)\n\n…2)"\n\nReverts acme/shop#12', Reverted((), None, 12)),
        (
            f"Undo\n\nThis reverts commits {SHA}, {OTHER.upper()} and\n0123456.",
            Reverted((SHA, OTHER, "0123456"), None, None),
        ),
        (f"Undo\n\nThis reverts commit {SHA}.\nThis reverts commit {OTHER}.", Reverted((SHA, OTHER), None, None)),
        (
            f"Undo\n\nThis reverts commit {OTHER}, reversing\nchanges made to {SHA}.",
            Reverted((OTHER,), None, None),
        ),
        ("feat: streaming\n\nIt reverts nothing, whatever #12 says", Reverted((), None, None)),
        ("Revert to the old parser", Reverted((), None, None)),
    ],
)
def test_a_revert_names_what_it_reverts(message: str, expected: Reverted) -> None:
    assert reverted(message) == expected
