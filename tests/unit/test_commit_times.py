"""Times of a history in which some clocks were wrong."""

import pytest

from cli.commit_times import consistent

NOW = 1000


@pytest.mark.parametrize(
    ("times", "told"),
    [
        ([], []),
        ([1, 2, 2, 3], [1, 2, 2, 3]),
        ([1, 900, 2, 3], [1, 1, 2, 3]),
        ([1, 900, 901, 2, 3, 4], [1, 1, 1, 2, 3, 4]),
        ([5, 6, 0, 7], [5, 6, 6, 7]),
        ([1, 2, 5000], [1, 2, NOW]),
        ([1, 2, 5000, 0, 5001], [1, 2, NOW, NOW, NOW]),
        ([5000, 1, 2], [1, 1, 2]),
        ([5000, 6000], [NOW, NOW]),
    ],
)
def test_as_few_times_as_can_be_are_changed(times: list[int], told: list[int]) -> None:
    assert list(consistent(times, NOW)) == told
