"""What the path of a score is measured beside: each an own process that takes the same requests.

`python -m benchmarks.chains WHAT PORT [NATS_URL] [MODEL]` serves until it is ended:
`asgi`: HTTP to NATS to a worker that answers a constant, message by message, without any framework;
`worker`: that worker; `fastapi`: an asynchronous FastAPI that predicts in process.
"""

import asyncio
import sys
from pathlib import Path
from typing import Any

import lightgbm
import msgspec
import nats
import numpy as np
import uvicorn
import uvloop

from shared.features.change import CHANGE_FEATURES
from shared.features.vector import FEATURES

SUBJECT = "bench.confidence"
CONSTANT = b'[{"value":{"confidence":0.8,"source":"model","decision":"review"}}]'
COLUMNS = tuple(CHANGE_FEATURES)


async def work(url: str) -> None:
    connection = await nats.connect(url)

    async def answer(message: Any) -> None:
        msgspec.json.decode(message.data)
        await message.respond(CONSTANT)

    await connection.subscribe(SUBJECT, queue="bench", cb=answer)
    await connection.flush()
    await asyncio.Event().wait()


def asgi(url: str) -> Any:
    found: dict[str, Any] = {}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            found["nats"] = await nats.connect(url)
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await found["nats"].close()
            await send({"type": "lifespan.shutdown.complete"})
            return
        body = b""
        while True:
            message = await receive()
            body += message["body"]
            if not message.get("more_body"):
                break
        reply = await found["nats"].request(SUBJECT, body, timeout=5)
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(reply.data)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": reply.data})

    return app


def fastapi(model: str) -> Any:
    """As it is mostly written: a validated body, a row of numpy, the booster."""
    from fastapi import FastAPI
    from pydantic import BaseModel

    class Body(BaseModel):
        agent_id: str
        repository: str
        features: dict[str, float]

    app, booster = FastAPI(), lightgbm.Booster(model_str=model)
    place = [FEATURES.index(name) for name in COLUMNS]

    async def score(body: Body) -> dict[str, Any]:
        row = np.full((1, len(FEATURES)), np.nan)
        row[0, place] = [body.features[name] for name in COLUMNS]
        return {"confidence": float(booster.predict(row, num_threads=1)[0]), "source": "model"}

    score.__annotations__["body"] = Body
    app.post("/v1/confidence")(score)
    return app


def main() -> None:
    what, port, *rest = sys.argv[1:]
    if what == "worker":
        uvloop.run(work(rest[0]))
        return
    app = asgi(rest[0]) if what == "asgi" else fastapi(Path(rest[0]).read_text())
    # As the gateway: connections outlast the pauses between two rounds.
    uvicorn.run(app, port=int(port), loop="uvloop", log_level="error", access_log=False, timeout_keep_alive=75)


if __name__ == "__main__":
    main()
