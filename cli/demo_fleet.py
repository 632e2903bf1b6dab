"""The play of the demo: a few agents hand in real changes, somebody else tells what became of them.

Who submits and when is play. The changes are real, taken from the history, and so is every reported outcome.
"""

import asyncio
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from cli.bodies import BulkLine
from cli.connection import Connection, local_key
from cli.keys import create_key
from cli.settle import POLL_SECONDS, settled

AGENTS = ("demo-atlas", "demo-borealis", "demo-cirrus")
REPORTER = "reporter-key"
WAIT_SECONDS = 10
COUNTED_WITHIN_SECONDS = 5
LARGEST_DIFF_BYTES = 60_000


@dataclass(frozen=True)
class Played:
    """A real change, who played its author, and what Precedent answered."""

    agent_id: str
    change: BulkLine
    fix: dict[str, Any]


def chosen(history: Iterable[BulkLine], count: int) -> list[BulkLine]:
    """The newest changes of a readable size: half of them failed ones, as far as there are, else whatever there is."""
    readable = [fix for fix in history if len(fix.diff) <= LARGEST_DIFF_BYTES]
    newest_first = sorted(readable, key=lambda fix: fix.submitted_at, reverse=True)
    failed = [fix for fix in newest_first if fix.outcome and fix.outcome.kind != "held"][: count // 2]
    held = [fix for fix in newest_first if fix.outcome and fix.outcome.kind == "held"]
    unknown = [fix for fix in newest_first if not fix.outcome]
    return sorted((failed + held + unknown)[:count], key=lambda fix: fix.submitted_at)


def keys(database_url: str) -> dict[str, str]:
    """A key for each agent, which may act for nobody else."""

    async def create() -> dict[str, str]:
        return {
            agent: await create_key(database_url, principal=agent, scopes=["read", "submit", "vote"], agents=[agent])
            for agent in AGENTS
        }

    return asyncio.run(create())


class Fleet:
    """The agents' views of the platform, each with its own key, and the reporter's."""

    def __init__(self, connection: Connection, database_url: str, repository: str) -> None:
        self._agents = {agent: connection.api(key) for agent, key in keys(database_url).items()}
        self._reporter = connection.api(local_key(REPORTER))
        self._repository = repository

    def submit(self, agent_id: str, change: BulkLine, learning_ids: Sequence[str] = ()) -> Played:
        """Hands in the change as new, waiting for its answer."""
        api = self._agents[agent_id]
        body = {
            "agent_id": agent_id,
            "repository": self._repository,
            "title": change.title,
            "fix_type": change.fix_type,
            "diff": change.diff,
            "learning_ids": list(learning_ids),
        }
        answer = api.post("/v1/fixes", body, Prefer=f"wait={WAIT_SECONDS}")
        fix = answer if answer.get("scored_at") else settled(api, answer["id"], WAIT_SECONDS)
        return Played(agent_id, change, fix)

    def submit_all(self, changes: Iterable[BulkLine]) -> Iterator[Played]:
        """In turns."""
        for number, change in enumerate(changes):
            yield self.submit(AGENTS[number % len(AGENTS)], change)

    def report(self, played: Played) -> str:
        """Tells what really became of the change: its outcome in the history, or only that it was merged."""
        kind = played.change.outcome.kind if played.change.outcome else "merged"
        self._reporter.post(
            f"/v1/fixes/{played.fix['id']}/outcome", {"kind": kind, "detail": played.change.external_id}
        )
        return kind

    def learn(self, played: Played) -> dict[str, Any]:
        """The agent writes down what its change taught, for the whole fleet."""
        body = {"agent_id": played.agent_id, "title": _lesson(played.change), "body": _evidence(played.change)}
        return dict(self._agents[played.agent_id].post("/v1/learnings", body))

    def used(self, learning_id: str) -> dict[str, Any]:
        """The learning once a citation has counted, or as it is when the wait is over."""
        deadline = time.monotonic() + COUNTED_WITHIN_SECONDS
        while True:
            learning = dict(self._reporter.get(f"/v1/learnings/{learning_id}"))
            if learning["uses"] or time.monotonic() > deadline:
                return learning
            self._reporter.sleep(POLL_SECONDS)

    def work_out(self, played: Played) -> dict[str, Any]:
        """The others join the agent's case and vote on what it proposes; the collaboration as it ended."""
        opener, *others = sorted(AGENTS, key=lambda agent: agent != played.agent_id)
        case = {"title": f"Why {_named(played.change)} went as it did", "collaboration_type": "review", "quorum": 2}
        opened = self._agents[opener].post("/v1/collaborations", {"agent_id": opener, **case})
        path = f"/v1/collaborations/{opened['id']}"
        idea = {"agent_id": opener, "title": _lesson(played.change), "body": _evidence(played.change)}
        solution = self._agents[opener].post(f"{path}/solutions", idea)
        for agent in others:
            self._agents[agent].post(f"{path}/join", {"agent_id": agent})
        for agent in others:
            self._agents[agent].request("PUT", f"{path}/solutions/{solution['id']}/vote", json={"value": 1})
        return dict(self._agents[opener].get(path))


def _named(change: BulkLine) -> str:
    return f"“{(change.title or change.external_id)[:120]}”"


def _lesson(change: BulkLine) -> str:
    what = _named(change)
    if change.outcome and change.outcome.kind != "held":
        days = (change.outcome.observed_at - change.submitted_at).days
        when = f"after {days} days" if days > 1 else "within a day or two"
        return f"{what} did not hold: {change.outcome.kind.replace('_', ' ')} {when}"
    return f"{what} is how this was done before"


def _evidence(change: BulkLine) -> str:
    later = f"\nCommit {change.outcome.detail} shows why." if change.outcome and change.outcome.detail else ""
    return f"Look at commit {change.external_id} before you change the same place.{later}"
