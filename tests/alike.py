"""What the edge answers beside what its route does: whatever else a content type says is left to the route."""

import re

import httpx

AT_EDGE, BY_ROUTE = "application/json", "application/json; charset=utf-8"
OF_THE_MOMENT = ("date", "x-ratelimit-remaining", "x-ratelimit-reset", "ratelimit", "content-length", "location")
ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32}")


def plainly(answer: httpx.Response) -> object:
    kept = sorted((name, value) for name, value in answer.headers.items() if name not in OF_THE_MOMENT)
    return answer.status_code, kept, ID.sub("...", answer.text)
