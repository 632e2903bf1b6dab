"""How agents decide together: who may vote on what, and when a solution is accepted. Pure.

Every principal has one vote on each solution, for or against; a solution's score is the difference. It is accepted
once `quorum` principals have voted and it leads by `margin`. "None of them" always stands for election, with score 0.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import msgspec
from msgspec import UNSET

from shared.contracts.commands import CollaborationStatus, CollaborationType, CollaborationUpdate
from shared.errors import refuse

MOST_MEMBERS = 64
MOST_SOLUTIONS = 32
# What is not decided at the deadline goes to whoever leads at all, given the quorum.
LEAD_AT_DEADLINE = 1


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """A collaboration as the rules see it. `members` are principals, the one that opened it among them."""

    id: UUID
    principal: str
    title: str
    collaboration_type: CollaborationType
    agent_domains: tuple[str, ...]
    status: CollaborationStatus
    progress: float
    quorum: int
    margin: int
    deadline: datetime
    version: int
    members: frozenset[str] = frozenset()


class Tally(NamedTuple):
    solution_id: UUID
    votes_for: int
    votes_against: int

    @property
    def score(self) -> int:
        return self.votes_for - self.votes_against


def accepted(case: Case, tallies: Iterable[Tally], voters: int, now: datetime) -> UUID | None:
    """The solution that has won by now, or None. `voters` are principals who voted on anything."""
    best, lead = leader(tallies)
    needed = case.margin if now < case.deadline else LEAD_AT_DEADLINE
    return best if voters >= case.quorum and lead >= needed else None


def leader(tallies: Iterable[Tally]) -> tuple[UUID | None, int]:
    """The best solution and how far it is ahead of the next best, or of none of them."""
    ranked = sorted(tallies, key=lambda tally: (-tally.score, tally.solution_id))
    if not ranked:
        return None, 0
    second = ranked[1].score if len(ranked) > 1 else 0
    return ranked[0].solution_id, ranked[0].score - max(second, 0)


def check_open(case: Case, now: datetime) -> None:
    """A deadline closes it, also while nobody has said so yet."""
    if case.status != "open" or now >= case.deadline:
        refuse(409, "collaboration_closed", "this collaboration is closed")


def check_member(case: Case, principal: str) -> None:
    if principal not in case.members:
        refuse(403, "not_joined", "only those who joined take part; join first")


def check_join(case: Case, now: datetime) -> None:
    check_open(case, now)
    if len(case.members) >= MOST_MEMBERS:
        refuse(409, "collaboration_full", f"a collaboration has at most {MOST_MEMBERS} members")


def check_proposal(case: Case, principal: str, solutions: int, now: datetime) -> None:
    check_open(case, now)
    check_member(case, principal)
    if solutions >= MOST_SOLUTIONS:
        refuse(409, "collaboration_full", f"a collaboration has at most {MOST_SOLUTIONS} solutions")


def check_vote(case: Case, principal: str, proposer: str | None, now: datetime) -> None:
    """`proposer` is the principal behind the solution, None when the collaboration has no such solution."""
    check_open(case, now)
    check_member(case, principal)
    if proposer is None:
        refuse(404, "not_found", "solution: not found in this collaboration")
    if proposer == principal:
        refuse(403, "own_solution", "nobody votes on their own solution")


def updated(case: Case, command: CollaborationUpdate, now: datetime) -> Case:
    """Members tell the progress; title and deadline are up to whoever opened it, and to operators."""
    check_open(case, now)
    told = {name: getattr(command.changes, name) for name in command.changes.__struct_fields__}
    told = {name: value for name, value in told.items() if value is not UNSET}
    if not command.operator:
        check_member(case, command.principal)
        if not {"title", "deadline"}.isdisjoint(told) and command.principal != case.principal:
            refuse(403, "not_opener", "only the principal that opened it changes title and deadline, or an operator")
    if command.version not in (None, case.version):
        refuse(412, "precondition_failed", f"it is at version {case.version} by now; read it again")
    return msgspec.structs.replace(case, **told)
