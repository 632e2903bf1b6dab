"""From a caller's body to the event on the bus: the checks, and the id that makes a repeat the same fix."""

from datetime import UTC, datetime
from uuid import UUID

from services.gateway.bodies import BulkLine, ConfidenceBody, FixBody, OutcomeBody
from services.gateway.keys import Principal
from services.gateway.problems import ApiError, invalid
from shared.contracts.commands import Candidate
from shared.contracts.fixes import FixImported, FixSubmitted, Outcome
from shared.diffs import DiffError, parse
from shared.features.vector import check_claimed
from shared.ids import derived_id, fix_id, new_id

MAX_KEY_LENGTH = 255
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
# A diff of 1 MiB in JSON, with room for escapes; bulk bodies are streamed and limited by line.
MAX_BODY_BYTES = 4 << 20


def check_agent(principal: Principal, agent_id: str) -> None:
    if not principal.may_act_for(agent_id):
        patterns = ", ".join(principal.agents)
        raise ApiError(
            403, "agent_not_allowed", f"this key may act for {patterns}, not for {agent_id!r}", field="agent_id"
        )


def candidate(principal: Principal, body: ConfidenceBody, explain: bool) -> Candidate:
    """Raises `ApiError` for an agent that the key may not act for. Whether the change fits is checked apart."""
    check_agent(principal, body.agent_id)
    return Candidate(
        agent_id=body.agent_id,
        repository=body.repository,
        author=body.author,
        fix_type=body.fix_type,
        signals=body.signals,
        diff=body.diff,
        features=body.features,
        paths=body.paths,
        explain=explain,
    )


def check_change(body: FixBody | ConfidenceBody) -> None:
    """Exactly one of a readable diff and known features."""
    check_claims(body)
    if body.diff is not None:
        check_diff(body.diff)


def check_claims(body: FixBody | ConfidenceBody) -> None:
    """All but whether the diff can be read, for what somebody else reads at once, and says so."""
    check_form(body)
    if body.features is not None:
        try:
            check_claimed(body.features)
        except ValueError as error:
            raise invalid("features", str(error)) from error


def check_form(body: FixBody | ConfidenceBody) -> None:
    if (body.diff is None) == (body.features is None):
        raise invalid("diff", "send exactly one of diff and features")
    if body.paths and body.features is None:
        raise invalid("paths", "goes with features; a diff names its own")


def check_diff(diff: str) -> None:
    try:
        parse(diff)
    except DiffError as error:
        raise invalid("diff", str(error), code="invalid_diff") from error


def check_time(field: str, at: datetime | None, now: datetime) -> None:
    if at is not None and at > now:
        raise invalid(field, "lies in the future; leave it out for now")
    if at is not None and at < EARLIEST:
        raise invalid(field, "lies before 1970")


def check_order(submitted_at: datetime | None, observed_at: datetime | None) -> None:
    """Scoring would refuse the outcome, but whoever sent the line would never hear of it."""
    if submitted_at is not None and observed_at is not None and observed_at < submitted_at:
        raise invalid("outcome.observed_at", "lies before submitted_at")


def identify(principal: Principal, body: FixBody, idempotency_key: str | None) -> UUID:
    """The repository's own name for the fix wins, then the caller's key; only a fix with neither is always new."""
    if body.external_id is not None:
        return fix_id(body.repository, body.external_id)
    if idempotency_key is not None:
        return command_id(principal, "/v1/fixes", idempotency_key)
    return new_id()


def command_id(principal: Principal, route: str, idempotency_key: str | None) -> UUID:
    """The id of what a POST creates: derived from (principal, route, key) where the caller sent a key."""
    if idempotency_key is None:
        return new_id()
    if not 0 < len(idempotency_key) <= MAX_KEY_LENGTH:
        raise invalid("Idempotency-Key", f"has 1 to {MAX_KEY_LENGTH} characters")
    return derived_id("idempotency", principal.name, route, idempotency_key)


def submitted(principal: Principal, body: FixBody, identity: UUID, now: datetime) -> FixSubmitted:
    cls = FixImported if isinstance(body, BulkLine) else FixSubmitted
    return cls(
        id=identity,
        principal=principal.name,
        agent_id=body.agent_id,
        repository=body.repository,
        external_id=body.external_id,
        author=body.author,
        title=body.title,
        fix_type=body.fix_type,
        domains=body.domains,
        learning_ids=body.learning_ids,
        signals=body.signals,
        submitted_at=(body.submitted_at or now).astimezone(UTC),
        backdated=body.submitted_at is not None,
        diff=body.diff,
        features=body.features,
        paths=body.paths,
        outcome=imported(body.outcome, now) if isinstance(body, BulkLine) else None,
    )


def imported(outcome: OutcomeBody | None, now: datetime) -> Outcome | None:
    if outcome is None:
        return None
    observed_at = (outcome.observed_at or now).astimezone(UTC)
    return Outcome(kind=outcome.kind, observed_at=observed_at, detail=outcome.detail)


def check_fix(principal: Principal, body: FixBody, now: datetime) -> None:
    check_agent(principal, body.agent_id)
    check_time("submitted_at", body.submitted_at, now)
    check_change(body)
    if isinstance(body, BulkLine) and body.outcome is not None:
        check_time("outcome.observed_at", body.outcome.observed_at, now)
        check_order(body.submitted_at, body.outcome.observed_at)
