"""Every `code` that a problem may carry: its status, and what it means to a caller. `docs/problems.md` is made from it.

A code is a promise: clients branch on it. It is never renamed, and never changes its status.
"""

from typing import NamedTuple


class Code(NamedTuple):
    status: int
    title: str
    # What a caller does about it.
    remedy: str
    # Seconds in `Retry-After` where nothing nearer is known.
    retry_after: int | None = None


AGAIN = "Try again after `Retry-After` seconds; a change with its `Idempotency-Key`, for it may be done yet."

CODES: dict[str, Code] = {
    "invalid_request": Code(400, "The request does not fit its schema", "Correct the fields named in `errors`."),
    "filters_not_served": Code(
        400, "These filters are not served together", "Leave out the field named in `errors`; see docs/data.md."
    ),
    "screened": Code(400, "The text must not reach other agents", "Take out what `detail` names."),
    "invalid_diff": Code(400, "The diff cannot be read", "Send the output of `git diff`, whole and with its headers."),
    "unauthenticated": Code(401, "No valid key", "Send a key that is neither expired nor revoked as a bearer token."),
    "forbidden": Code(403, "The key lacks a scope", "Use a key with the scope that `detail` names."),
    "agent_not_allowed": Code(403, "The key may not act for this agent", "Use a key whose `agents` cover the agent."),
    "not_author": Code(403, "It was written by another principal", "Ask its author, or an operator."),
    "not_joined": Code(403, "Only members take part", "Join the collaboration first."),
    "not_opener": Code(
        403, "Its terms are up to whoever opened it", "Ask the principal that opened it, or an operator."
    ),
    "own_solution": Code(403, "Nobody votes on their own solution", "Leave the vote to the other members."),
    "self_report": Code(403, "Submitters do not judge themselves", "Report the outcome as another principal."),
    "not_found": Code(404, "There is no such thing", "Check the id or the path."),
    "not_yet_visible": Code(404, "Not stored, and perhaps on its way", "Ask again after `Retry-After` seconds.", 1),
    "method_not_allowed": Code(405, "The path knows no such method", "Use one of the methods in `Allow`."),
    "not_held": Code(409, "The learning is not held", "Nothing is to be released."),
    "not_active": Code(409, "The learning is not active", "Name one that is neither held nor superseded."),
    "collaboration_closed": Code(409, "The collaboration is closed", "Open another one."),
    "collaboration_full": Code(
        409, "The collaboration takes no more members or solutions", "Work with those there are."
    ),
    "idempotency_in_progress": Code(
        409, "The first request with this key is under way", "Send it again after `Retry-After` seconds.", 1
    ),
    "precondition_failed": Code(412, "It has changed since it was read", "Read it again, then decide again."),
    "request_timeout": Code(408, "The request did not come in time", "Send it again, faster or in parts."),
    "too_large": Code(413, "The body is too large", "Send less, or split it."),
    "url_too_long": Code(414, "The URL is too long", "Shorten the query."),
    "unsupported_media_type": Code(415, "The body has a media type that is not read here", "Send `application/json`."),
    "idempotency_mismatch": Code(
        422, "The key was used for another request", "Use a new `Idempotency-Key` for a new request."
    ),
    "rate_limited": Code(
        429, "Too many requests", "Send it again after `Retry-After` seconds; see docs/rate-limits.md."
    ),
    "headers_too_large": Code(431, "Too many headers, or too large", "Send fewer and shorter ones."),
    "internal_error": Code(500, "Something failed on our side", "Report `trace_id`: it finds the cause in the logs."),
    "store_unavailable": Code(503, "Postgres is away", "Try again after `Retry-After` seconds.", 2),
    "bus_unavailable": Code(
        503,
        "NATS is away",
        "Send it again after `Retry-After` seconds; `detail` says whether it may have come in, and a "
        "repeat with the same `external_id` or `Idempotency-Key` doubles nothing.",
        2,
    ),
    "overloaded": Code(503, "More to do than can be done", "Send it again after `Retry-After` seconds.", 2),
    "log_full": Code(
        503, "The log takes no more; nothing was accepted", "Send it again after `Retry-After` seconds.", 30
    ),
    "scoring_unavailable": Code(503, "No scoring worker answers", AGAIN, 2),
    "patterns_unavailable": Code(503, "No patterns worker answers", AGAIN, 2),
    "too_many_streams": Code(
        503, "This gateway has no room for another reader", "Try again after `Retry-After` seconds.", 5
    ),
    "stopping": Code(503, "This gateway is stopping", "Send it again; another one answers.", 1),
}


def markdown() -> str:
    """The table, for people."""
    head = (
        "# Problems\n\nEvery refusal is `application/problem+json` (RFC 9457). A client branches on `code`, which is "
        "never renamed and never\nchanges its status; `detail` says what is wrong with this request, `errors` names "
        "the fields, and `trace_id` finds the\nrequest in the logs.\n\n"
        "| code | status | means | what to do |\n|---|---|---|---|\n"
    )
    return head + "".join(f"| `{name}` | {c.status} | {c.title} | {c.remedy} |\n" for name, c in CODES.items())
