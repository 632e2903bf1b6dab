"""The reads about confidence itself: what is decided on it, and how it turned out."""

from services.gateway.reads import Reads
from services.gateway.views import Thresholds

THRESHOLDS = """
select $1::text as repository, auto_merge, block, t.repository <> $1 as inherited from scoring.thresholds t
where t.repository in ($1, '') order by t.repository desc limit 1
"""


class ModelQueries(Reads):
    async def thresholds(self, repository: str) -> Thresholds:
        """Its own, or everybody's, which the migration wrote that made the table."""
        [found] = await self._all(Thresholds, THRESHOLDS, repository)
        return found
