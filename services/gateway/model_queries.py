"""The reads about confidence itself: what is decided on it, and how it turned out."""

from services.gateway.live_calibration import Counted
from services.gateway.reads import Reads
from services.gateway.views import Thresholds

THRESHOLDS = """
select $1::text as repository, auto_merge, block, t.repository <> $1 as inherited from scoring.thresholds t
where t.repository in ($1, '') order by t.repository desc limit 1
"""
CALIBRATION = "select bin, count, predicted, observed, squared from scoring.calibration($1, $2) order by bin"
# Of the newest fixes of a version that have an outcome: a bin of five hundred is known to 2 %.
MOST_OUTCOMES = 10_000


class ModelQueries(Reads):
    async def thresholds(self, repository: str) -> Thresholds:
        """Its own, or everybody's, which the migration wrote that made the table."""
        [found] = await self._all(Thresholds, THRESHOLDS, repository)
        return found

    async def calibration(self, version: str) -> list[Counted]:
        return await self._all(Counted, CALIBRATION, version, MOST_OUTCOMES)
