"""Whether something answers on a loopback port. Plain sockets: a proxy in the environment has no say here."""

import asyncio
import contextlib

from deploy.local.home import LOOPBACK

ANSWER_SECONDS = 2.0


async def exchange(port: int, request: bytes, host: str = LOOPBACK) -> bytes:
    """All that comes back until the other side closes; empty when nobody answers in time."""
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(ANSWER_SECONDS):
            reader, writer = await asyncio.open_connection(host, port)
            with contextlib.closing(writer):
                writer.write(request)
                return await reader.read(-1)
    return b""


async def http_get(port: int, path: str, host: str = LOOPBACK) -> tuple[int, bytes]:
    """Status and body; status 0 when nobody answers."""
    # 1.0: no keep-alive and no chunks
    answer = await exchange(port, f"GET {path} HTTP/1.0\r\nHost: {host}:{port}\r\n\r\n".encode(), host)
    head, _, body = answer.partition(b"\r\n\r\n")
    words = head.split(maxsplit=2)
    return (int(words[1]), body) if len(words) > 1 and words[1].isdigit() else (0, b"")
