"""What an answer says about limits: every header from the same verdict."""

from services.gateway.buckets import Demand, LocalBuckets, Verdict
from services.gateway.limit_headers import limit_headers, limited
from services.gateway.policies import Policy

USER = Policy(name="user", limit=100)
ALL = Policy(name="global", limit=1000)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def told(verdict: Verdict) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in limit_headers(verdict)}


def spend(cost: int, *, own: Policy = USER, shared: Policy = ALL) -> dict[str, str]:
    return told(LocalBuckets(1, Clock()).take(Demand("u", own, shared, cost, cost)))


def test_both_buckets_are_told_and_the_tighter_one_in_the_older_names() -> None:
    assert spend(7) == {
        "x-ratelimit-limit": "100",
        "x-ratelimit-remaining": "93",
        "x-ratelimit-reset": "5",  # seven tokens of 0.6 s each
        "ratelimit-policy": '"user";q=100;w=60, "global";q=1000;w=60',
        "ratelimit": '"user";r=93;t=5, "global";r=993;t=1',
    }


def test_where_the_shared_bucket_is_tighter_the_older_names_speak_of_it() -> None:
    headers = spend(7, shared=Policy(name="global", limit=50, window_seconds=10))
    assert (headers["x-ratelimit-limit"], headers["x-ratelimit-remaining"]) == ("50", "43")
    assert headers["x-ratelimit-reset"] == "2"
    assert headers["ratelimit"] == '"user";r=93;t=5, "global";r=43;t=2'


def test_a_limit_that_does_not_divide_its_window_counts_whole_tokens() -> None:
    buckets, sevens = LocalBuckets(1, Clock()), Policy(name="user", limit=7)
    left = [buckets.take(Demand("u", sevens, ALL, 1, 1)).own.remaining for _ in range(7)]
    assert left == [6, 5, 4, 3, 2, 1, 0]
    assert buckets.take(Demand("u", sevens, ALL, 1, 1)).violated == (sevens,)


def test_a_refusal_names_every_violated_policy_and_the_longest_wait() -> None:
    clock = Clock()
    buckets = LocalBuckets(1, clock)
    own, shared = Policy(name="user", limit=2, window_seconds=10), Policy(name="global", limit=2, window_seconds=60)
    for _ in range(2):
        buckets.take(Demand("u", own, shared, 1, 1))
    verdict = buckets.take(Demand("u", own, shared, 1, 1))
    error = limited(verdict.violated, verdict.retry_after)
    assert (error.status, error.code, error.violated_policies) == (429, "rate_limited", ("user", "global"))
    assert error.headers == {"Retry-After": "30"}
    assert told(verdict)["x-ratelimit-remaining"] == "0"
    clock.now += 29.9
    assert buckets.take(Demand("u", own, shared, 1, 1)).violated == (shared,)
    clock.now += 0.1
    assert buckets.take(Demand("u", own, shared, 1, 1)).violated == ()
