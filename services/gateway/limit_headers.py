"""What an answer says about limits, all from one verdict: the names in use, and the IETF's.

`RateLimit` and `RateLimit-Policy` as in draft-ietf-httpapi-ratelimit-headers-10: `r` tokens left, `t` seconds until
the bucket is full; `q` the limit, `w` its window in seconds. A draft may still rename them: they are written only here.
"""

from collections.abc import Sequence

from services.gateway.buckets import Standing, Verdict
from services.gateway.policies import Policy
from services.gateway.problems import ApiError

Headers = list[tuple[bytes, bytes]]


def limit_headers(verdict: Verdict) -> Headers:
    """`X-RateLimit-*` speak of the tighter bucket, the IETF's of both; all times in whole seconds, rounded up."""
    tighter, own, shared = verdict.tighter, verdict.own, verdict.everybody
    return [
        (b"x-ratelimit-limit", b"%d" % tighter.policy.limit),
        (b"x-ratelimit-remaining", b"%d" % tighter.remaining),
        (b"x-ratelimit-reset", b"%d" % tighter.reset_seconds),
        (b"ratelimit-policy", f"{own.policy.quoted}, {shared.policy.quoted}".encode()),
        (b"ratelimit", f"{_state(own)}, {_state(shared)}".encode()),
    ]


def _state(standing: Standing) -> str:
    return f'"{standing.policy.name}";r={standing.remaining};t={standing.reset_seconds}'


def limited(violated: Sequence[Policy], retry_after: int) -> ApiError:
    """`429`, naming what was violated, and in how many seconds the same request would be let in."""
    said = " and ".join(f"{p.name!r} ({p.limit} in {p.window_seconds} s)" for p in violated)
    error = ApiError(429, "rate_limited", f"over the policy {said}; nothing was spent", retry_after=retry_after)
    error.violated_policies = tuple(policy.name for policy in violated)
    return error
