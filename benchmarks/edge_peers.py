"""What the edge is measured beside, under the uvicorn that the gateway has: `python -m benchmarks.edge_peers NAME`.

`hello` is the least that ASGI can answer. `fastapi` is what a user would otherwise compose for a cached read with two
limits, and for a checked body; `litestar` is the checked body without our edge.
"""

import sys
from typing import Any

import uvicorn
from fastapi import FastAPI, Header, HTTPException, Response
from limits import RateLimitItemPerMinute
from limits.aio.storage import RedisStorage
from limits.aio.strategies import FixedWindowRateLimiter
from litestar import Litestar, post
from litestar.params import JSONBody
from pydantic import BaseModel, Field
from redis.asyncio import Redis

from services.gateway.bodies import FixBody

# Never met: what is measured is the deciding.
BODY_KEY = "bench:body"
LIMIT = RateLimitItemPerMinute(6_000_000)


async def hello(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"5")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"hello"})


class Fix(BaseModel):
    """The fields of `FixBody`."""

    agent_id: str = Field(min_length=1, max_length=200)
    repository: str = Field(min_length=1, max_length=300)
    external_id: str | None = Field(None, max_length=500)
    author: str | None = Field(None, max_length=300)
    title: str | None = Field(None, max_length=1000)
    fix_type: str | None = Field(None, max_length=40)
    domains: list[str] = []
    diff: str | None = None
    features: dict[str, float] | None = None


def fastapi(redis_url: str) -> FastAPI:
    app = FastAPI()
    limiter = FixedWindowRateLimiter(RedisStorage(f"async+{redis_url}", implementation="redispy"))
    redis: Redis = Redis.from_url(redis_url)

    async def admit(key: str, response: Response) -> None:
        if not (await limiter.hit(LIMIT, "user", key) and await limiter.hit(LIMIT, "global")):
            raise HTTPException(429)
        stats = await limiter.get_window_stats(LIMIT, "user", key)
        response.headers["X-RateLimit-Remaining"] = str(stats.remaining)

    @app.get("/cached")
    async def cached(response: Response, authorization: str = Header()) -> Any:
        await admit(authorization, response)
        body = await redis.get(BODY_KEY)
        return Response(body, media_type="application/json", headers=dict(response.headers))

    @app.post("/fixes", status_code=202)
    async def submit(fix: Fix) -> dict[str, str]:
        return {"id": fix.agent_id, "status": "accepted"}

    return app


@post("/fixes", status_code=202)
async def submit(data: JSONBody[FixBody]) -> dict[str, str]:
    return {"id": data.agent_id, "status": "accepted"}


def application(name: str, redis_url: str) -> Any:
    if name == "hello":
        return hello
    if name == "fastapi":
        return fastapi(redis_url)
    return Litestar([submit], openapi_config=None, logging_config=None)


if __name__ == "__main__":
    peer, port, redis_url = sys.argv[1:]
    uvicorn.run(
        application(peer, redis_url), port=int(port), loop="uvloop", http="httptools", log_config=None,
        access_log=False, server_header=False,
    )  # fmt: skip
