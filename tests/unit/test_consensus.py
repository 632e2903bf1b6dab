"""When agents have decided, and who has a say."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.patterns.consensus import (
    MOST_MEMBERS,
    MOST_SOLUTIONS,
    Case,
    Tally,
    accepted,
    check_join,
    check_proposal,
    check_vote,
    leader,
    updated,
)
from shared.contracts.commands import CollaborationChanges, CollaborationUpdate
from shared.errors import CommandRefused

NOW = datetime(2026, 3, 1, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
A, B, C = UUID(int=1), UUID(int=2), UUID(int=3)


def case(**fields: Any) -> Case:
    plain: dict[str, Any] = {"quorum": 2, "margin": 1, "deadline": LATER, "members": frozenset({"owner", "ann"})}
    return Case(
        id=UUID(int=9), principal="owner", title="Slow login", collaboration_type="debug", agent_domains=(),
        status=fields.pop("status", "open"), progress=0.0, version=3, **plain | fields,
    )  # fmt: skip


ballots = st.lists(
    st.tuples(st.sampled_from(["ann", "bob", "cy", "dee"]), st.sampled_from([A, B, C]), st.sampled_from([1, -1])),
    max_size=12,
)


def counted(votes: dict[tuple[str, UUID], int], solutions: tuple[UUID, ...] = (A, B, C)) -> list[Tally]:
    values = {s: [v for (_, solution), v in votes.items() if solution == s] for s in solutions}
    return [Tally(s, found.count(1), found.count(-1)) for s, found in values.items()]


@given(ballots, st.integers(1, 4), st.integers(1, 4))
def test_what_is_accepted_leads_the_others_and_nothing_by_the_margin_and_has_its_quorum(
    cast: list[tuple[str, UUID, int]], quorum: int, margin: int
) -> None:
    votes = {(voter, solution): value for voter, solution, value in cast}
    tallies, voters = counted(votes), len({voter for voter, _ in votes})
    won = accepted(case(quorum=quorum, margin=margin), tallies, voters, NOW)
    scores = {tally.solution_id: tally.votes_for - tally.votes_against for tally in tallies}
    fit = [s for s in scores if all(scores[s] - o >= margin for o in [0, *(scores[x] for x in scores if x != s)])]
    assert won == (fit[0] if fit and voters >= quorum else None)
    assert len(fit) <= 1


@given(ballots, st.randoms(use_true_random=False))
def test_the_order_in_which_votes_are_counted_decides_nothing(cast: list[tuple[str, UUID, int]], random: Any) -> None:
    tallies = counted({(voter, solution): value for voter, solution, value in cast})
    shuffled = random.sample(tallies, len(tallies))
    assert leader(shuffled) == leader(tallies)


@given(ballots)
def test_a_solution_that_nobody_has_voted_on_changes_no_decision(cast: list[tuple[str, UUID, int]]) -> None:
    votes = {(voter, solution): value for voter, solution, value in cast if solution != C}
    voters = len({voter for voter, _ in votes})
    without, beside = counted(votes, (A, B)), counted(votes)
    assert accepted(case(), without, voters, NOW) == accepted(case(), beside, voters, NOW)


def test_at_the_deadline_whoever_leads_at_all_has_won_given_the_quorum() -> None:
    tallies = [Tally(A, 2, 0), Tally(B, 1, 0)]
    wanted = case(margin=2, quorum=2)
    assert accepted(wanted, tallies, 2, NOW) is None
    assert accepted(wanted, tallies, 2, LATER) == A
    assert accepted(wanted, tallies, 1, LATER) is None
    assert accepted(wanted, [Tally(A, 1, 0), Tally(B, 1, 0)], 2, LATER) is None
    assert accepted(wanted, [], 2, LATER) is None


def test_what_more_are_against_than_for_never_wins() -> None:
    assert accepted(case(), [Tally(A, 1, 2), Tally(B, 0, 3)], 3, LATER) is None


@pytest.mark.parametrize(
    ("wanted", "principal", "proposer", "code"),
    [
        (case(), "ann", "owner", None),
        (case(), "owner", "ann", None),
        (case(), "eve", "owner", "not_joined"),
        (case(), "ann", "ann", "own_solution"),
        (case(), "ann", None, "not_found"),
        (case(status="resolved"), "ann", "owner", "collaboration_closed"),
        (case(status="expired"), "eve", "owner", "collaboration_closed"),
        (case(deadline=NOW), "ann", "owner", "collaboration_closed"),
    ],
)
def test_who_may_vote_on_what(wanted: Case, principal: str, proposer: str | None, code: str | None) -> None:
    assert refusal(lambda: check_vote(wanted, principal, proposer, NOW)) == code


def test_members_and_solutions_are_bounded() -> None:
    crowd = frozenset(str(n) for n in range(MOST_MEMBERS))
    assert refusal(lambda: check_join(case(members=crowd), NOW)) == "collaboration_full"
    assert refusal(lambda: check_proposal(case(), "ann", MOST_SOLUTIONS, NOW)) == "collaboration_full"
    assert refusal(lambda: check_proposal(case(), "ann", MOST_SOLUTIONS - 1, NOW)) is None
    assert refusal(lambda: check_proposal(case(), "eve", 0, NOW)) == "not_joined"


def command(principal: str, *, operator: bool = False, version: int | None = None, **told: Any) -> CollaborationUpdate:
    changes = CollaborationChanges(**told)
    return CollaborationUpdate(
        command_id=A, id=B, principal=principal, operator=operator, version=version, changes=changes
    )


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        (command("ann", progress=0.5), None),
        (command("ann", title="Another"), "not_opener"),
        (command("ann", deadline=LATER), "not_opener"),
        (command("eve", progress=0.5), "not_joined"),
        (command("eve", operator=True, title="Another"), None),
        (command("owner", title="Another", version=3), None),
        (command("owner", title="Another", version=2), "precondition_failed"),
    ],
)
def test_who_may_change_what(wanted: CollaborationUpdate, code: str | None) -> None:
    assert refusal(lambda: updated(case(), wanted, NOW)) == code


def test_what_is_left_out_of_a_change_stays() -> None:
    after = updated(case(), command("owner", progress=0.25), NOW)
    assert (after.progress, after.title, after.deadline) == (0.25, "Slow login", LATER)


def refusal(act: Any) -> str | None:
    try:
        act()
    except CommandRefused as refused:
        return refused.problem.code
    return None
