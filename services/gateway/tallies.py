"""What every request counts, in one thread; the library's lock and checks cost three times as much as counting."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

Labels = tuple[str, ...]


class Tally(Collector):
    """A counter: `tally[labels] += 1`, through `count`. Labels are closed sets, so it does not grow without end."""

    def __init__(self, name: str, documentation: str, labels: Labels, registry: CollectorRegistry) -> None:
        self._about = name, documentation
        self._labels = labels
        self._counts: defaultdict[Labels, int] = defaultdict(int)
        registry.register(self)

    def count(self, *labels: str) -> None:
        self._counts[labels] += 1

    def collect(self) -> Iterator[CounterMetricFamily]:
        family = CounterMetricFamily(*self._about, labels=self._labels)
        for labels, count in self._counts.items():
            family.add_metric(labels, count)
        yield family


class Series:
    """Of one set of labels: how many were in each bucket, the last of which has no bound, and their sum."""

    __slots__ = ("counts", "seconds")

    def __init__(self, buckets: int) -> None:
        self.counts, self.seconds = [0] * buckets, 0.0


class Timing(Collector):
    """A histogram of seconds, and how many there were as a counter of its own."""

    def __init__(
        self, counter: tuple[str, str], histogram: tuple[str, str], labels: Labels, bounds: Sequence[float],
        registry: CollectorRegistry,
    ) -> None:  # fmt: skip
        self._counter, self._histogram = counter, histogram
        self._labels, self._bounds = labels, bounds
        self._series: dict[Labels, Series] = {}
        registry.register(self)

    def of(self, labels: Labels) -> Series:
        return self._series.setdefault(labels, Series(len(self._bounds) + 1))

    def observe(self, series: Series, seconds: float) -> None:
        series.counts[bisect_left(self._bounds, seconds)] += 1
        series.seconds += seconds

    def collect(self) -> Iterator[CounterMetricFamily | HistogramMetricFamily]:
        counter = CounterMetricFamily(*self._counter, labels=self._labels)
        histogram = HistogramMetricFamily(*self._histogram, labels=self._labels)
        names = [*map(floatToGoString, self._bounds), "+Inf"]
        for labels, series in self._series.items():
            counter.add_metric(labels, sum(series.counts))
            histogram.add_metric(labels, list(zip(names, accumulate(series.counts), strict=True)), series.seconds)
        yield from (counter, histogram)
