"""When commits happened, where the clocks of those who committed disagree."""

from array import array
from bisect import bisect_right
from collections.abc import Sequence


def consistent(times: Sequence[int], latest: int) -> "array[int]":
    """The times of a history, oldest first, so that none is before its predecessor's or after `latest` (seconds).

    As few as possible are changed: what is no part of the longest run that never goes back, says the time of the one
    before it. Of one commit from 2100 every later one would otherwise seem to be of that year. At the end of a history
    it says `latest`: a clock that is ahead is the likelier one to have made the newest commit, and nothing is known yet
    of what becomes of it.
    """
    kept = _longest_run(times, latest)
    end = kept.rfind(1)
    last = next((time for time, is_kept in zip(times, kept, strict=True) if is_kept), latest)
    told = array("q")
    for place, (time, is_kept) in enumerate(zip(times, kept, strict=True)):
        if is_kept:
            last = time
        elif place > end and time > latest:
            last = latest
        told.append(last)
    return told


def _longest_run(times: Sequence[int], latest: int) -> bytearray:
    """Patience sorting: for each length of a run the smallest time that ends one, and for each place the one before."""
    ends: list[int] = []
    places: list[int] = []
    before = array("q")
    for place, time in enumerate(times):
        length = bisect_right(ends, time)
        before.append(places[length - 1] if length else -1)
        if time <= latest:
            ends[length : length + 1] = [time]
            places[length : length + 1] = [place]
    kept = bytearray(len(times))
    place = places[-1] if places else -1
    while place >= 0:
        kept[place] = 1
        place = before[place]
    return kept
