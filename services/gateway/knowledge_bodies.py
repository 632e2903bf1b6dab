"""What callers may send about learnings and collaborations; see `bodies`."""

from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from services.gateway.bodies import NO_NUL, AgentId, Domains, Instant
from shared.contracts.commands import CollaborationChanges, CollaborationType, LearningChanges

# No NUL, and something to be seen.
SHOWN = r"^\s*[^\s\u0000][^\u0000]*$"
Headline = Annotated[str, Meta(pattern=SHOWN, min_length=1, max_length=300)]
Text = Annotated[str, Meta(pattern=SHOWN, min_length=1, max_length=20_000)]
Kind = Literal["bug-fix", "performance", "security", "refactor"]
Share = Annotated[float, Meta(ge=0, le=1)]
# Of principals: nobody could fill a larger one, for a collaboration has at most 64 members.
Votes = Annotated[int, Meta(ge=1, le=64)]


class LearningBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`fix_id` is the fix that it was learned from."""

    agent_id: AgentId
    title: Headline
    body: Text
    agent_domains: Domains = ()
    category: Kind | None = None
    pattern_id: UUID | None = None
    fix_id: UUID | None = None


class LearningPatch(LearningChanges, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is left out stays as it is; null takes away."""

    title: Headline | UnsetType = UNSET
    body: Text | UnsetType = UNSET
    agent_domains: Domains | UnsetType = UNSET
    category: Kind | UnsetType | None = UNSET


class CollaborationBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Without a `deadline` it has a day."""

    agent_id: AgentId
    title: Headline
    collaboration_type: CollaborationType
    agent_domains: Domains = ()
    quorum: Votes = 2
    margin: Votes = 1
    deadline: Instant | None = None


class CollaborationPatch(CollaborationChanges, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is left out stays as it is."""

    title: Headline | UnsetType = UNSET
    deadline: Instant | UnsetType = UNSET
    progress: Share | UnsetType = UNSET


class JoinBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    agent_id: AgentId


class SolutionBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    agent_id: AgentId
    title: Headline
    body: Text


class VoteBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """For or against; the last word of a principal counts."""

    value: Literal[1, -1]
    reason: Annotated[str, Meta(pattern=NO_NUL, max_length=2000)] | None = None
