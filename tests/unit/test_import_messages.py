"""What a commit message says."""

import pytest

from cli.git_log import CO_AUTHOR
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


@pytest.mark.parametrize(
    "message", ["fix: a crash", "hotfix(db): lock", "Fixed the undo", "Bugfix in parser", "net: fix a crash"]
)
def test_a_repair_is_recognised(message: str) -> None:
    assert is_fix(message)


@pytest.mark.parametrize(
    "message",
    [
        "pytester: fix docstrings",
        "typing: fix a signature",
        "feat: fix none, add much",
        "fix(deps): bump",
        "deps: fix the lock",
        'Revert "fix: a crash"',
        "docs: fix a link",
        "Fix typo",
        "fix lint",
        "Add prefix handling",
        "chore: x\n\nfixes",
    ],
)
def test_what_only_sounds_like_a_repair_is_none(message: str) -> None:
    assert not is_fix(message)


SHA, OTHER = "0123456789abcdef0123456789abcdef01234567", "fedcba9"


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            f'Revert "feat: streaming (#12)" (#14)\n\nThis reverts commit {SHA}.',
            Reverted((SHA,), "feat: streaming", 12),
        ),
        ('Revert "feat: streaming" (#14)\n\nReverts acme/shop#12', Reverted((), "feat: streaming", 12, "shop")),
        ("revert(api): feat: streaming (#12)", Reverted((), "feat: streaming", 12)),
        ("Take streaming back (#14)\n\nReverts #12.", Reverted((), None, 12)),
        ("revert #12: no streaming (#14)", Reverted((), None, 12)),
        (
            'Revert "feat: a title that is cut (#1… (#14)\n\n…2)"\n\nReverts acme/shop#12',
            Reverted((), None, 12, "shop"),
        ),
        (
            f"Undo\n\nThis reverts commits {SHA}, {OTHER.upper()} and\n0123456.",
            Reverted((SHA, OTHER, "0123456"), None, None),
        ),
        (f"Undo\n\nThis reverts commit {SHA}.\nThis reverts commit {OTHER}.", Reverted((SHA, OTHER), None, None)),
        (
            f"Undo\n\nThis reverts commit {OTHER}, reversing\nchanges made to {SHA}.",
            Reverted((OTHER,), None, None),
        ),
        (f"Undo\n\nThis reverts commits:\n- {SHA}\n- `{OTHER}`", Reverted((SHA, OTHER), None, None)),
        (f"Undo\n\nThis reverts commits {OTHER}...{SHA}.", Reverted((f"{OTHER}..{SHA}",), None, None)),
        (f"Undo\n\nThis reverts\ncommit {SHA}{SHA[:24]}.", Reverted((SHA + SHA[:24],), None, None)),
        (f"Revert {OTHER}", Reverted((OTHER,), None, None)),
        (f"Revert commit {OTHER}: too slow", Reverted((OTHER,), None, None)),
        (f"Undo\n\nReverts commit {OTHER}.", Reverted((OTHER,), None, None)),
        (f"Undo\n\nThis reverts acme/shop@{OTHER}.", Reverted((OTHER,), None, None)),
        (f"Undo\n\nThis reverts https://github.com/acme/shop/commit/{SHA}", Reverted((SHA,), None, None)),
        ("Revert defaced pages", Reverted((), None, None)),
        ("Revert 'streaming'", Reverted((), "streaming", None)),
        ("Revert “streaming”", Reverted((), "streaming", None)),
        ('Revert(api): "streaming"', Reverted((), "streaming", None)),
        ('[release] Revert "streaming"', Reverted((), "streaming", None)),
        ('Revert "Revert "streaming""', Reverted((), 'Revert "streaming"', None)),
        ("feat: streaming\n\nIt reverts nothing, whatever #12 says", Reverted((), None, None)),
        ("Revert to the old parser", Reverted((), None, None)),
    ],
)
def test_a_revert_names_what_it_reverts(message: str, expected: Reverted) -> None:
    assert reverted(message) == expected


@pytest.mark.parametrize(
    "message",
    ["Undo\n\nThis reverts" + " " * 200_000, "Undo\n\nco-authored-by:" + " " * 200_000, "Revert " + '"' * 200_000],
)
def test_a_message_of_any_length_is_read_at_once(message: str) -> None:
    """One that takes the square of its length would take hours here."""
    assert not reverted(message).shas
    assert not is_fix(message)
    assert not CO_AUTHOR.findall(message)
