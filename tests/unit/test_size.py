"""What a change's size alone says of it."""

import pytest

from shared.features.change import CHANGE_FEATURES
from shared.features.size import expected_failure


@pytest.mark.parametrize("size", [0.0, 1e4, 1e308])
def test_any_size_that_may_be_claimed_has_a_probability(size: float) -> None:
    assert 0 <= expected_failure(dict.fromkeys(CHANGE_FEATURES, size)) <= 1
