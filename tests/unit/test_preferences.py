"""`Prefer: wait=N`, RFC 7240: one list however many headers, and what cannot be read counts for nothing."""

import pytest

from services.gateway.intake import MAX_WAIT_SECONDS, preferences, wait_seconds


@pytest.mark.parametrize(
    ("values", "seconds"),
    [
        ([], 0),
        ([b"wait=5"], 5),
        ([b"wait=0"], 0),
        ([b'respond-async; wait="7"'], 7),
        ([b"respond-async", b"wait = 5"], 5),
        ([b"wait=5", b"respond-async"], 5),
        ([b"wait=31"], MAX_WAIT_SECONDS),
        ([b"wait=" + b"9" * 5000], MAX_WAIT_SECONDS),
        ([b"Wait=3"], 3),
        ([b'foo="a,wait=0", wait=2'], 2),
        ([b'foo="a\\", wait=0"; wait=2'], 2),
        ([b'foo=" wait=3"'], 0),
        ([b'foo="a, wait=3'], 0),
        ([b'wait="4", foo=", wait=3"'], 4),
        ([b'"\\' * 16_000 + b", wait=3"], 0),
        ([b"wait=soon"], 0),
        ([b"wait=-1"], 0),
        ([b"await=5"], 0),
        ([b"wait"], 0),
        ([b"\xff\xfe"], 0),
    ],
)
def test_how_long_the_caller_waits(values: list[bytes], seconds: int) -> None:
    headers = [(b"accept", b"wait=9"), *((b"prefer", value) for value in values)]
    assert wait_seconds(preferences(headers)) == seconds
