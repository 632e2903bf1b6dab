"""`precedent dead`: for operators, what the workers gave up, and sending it again once the cause is gone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import click
import nats
from nats.js import JetStreamContext
from nats.js.api import RawStreamMsg
from nats.js.errors import NotFoundError

from cli.platform import platform_urls

STREAM = "DEAD"
REASON, SUBJECT = "precedent-reason", "precedent-subject"


@asynccontextmanager
async def stream(url: str) -> AsyncIterator[JetStreamContext]:
    connection = await nats.connect(url, max_reconnect_attempts=1)
    try:
        yield connection.jetstream()
    finally:
        await connection.close()


async def newest(js: JetStreamContext, limit: int) -> list[RawStreamMsg]:
    """The newest letters first; numbers that were replayed or have expired are passed over."""
    state = (await js.stream_info(STREAM)).state
    found: list[RawStreamMsg] = []
    for number in range(state.last_seq, max(state.first_seq, 1) - 1, -1):
        try:
            found.append(await js.get_msg(STREAM, number))
        except NotFoundError:
            continue
        if len(found) == limit:
            break
    return found


async def replay(js: JetStreamContext, number: int) -> str:
    """Sends the letter to where it came from and takes it out of the stream; returns the subject."""
    letter = await js.get_msg(STREAM, number)
    headers = dict(letter.headers or {})
    subject = str(headers.pop(SUBJECT))
    headers.pop(REASON, None)
    # Another message for JetStream, the same event for the consumer.
    headers["Nats-Msg-Id"] = f"replay-{number}-{letter.time}"
    await js.publish(subject, letter.data or b"", headers=headers)
    await js.delete_msg(STREAM, number)
    return subject


@click.group()
@click.option("--nats-url", envvar="PRECEDENT_NATS_URL", help="Default: the platform started here.")
@click.pass_context
def dead(context: click.Context, nats_url: str | None) -> None:
    """List and replay what the workers gave up (operators)."""
    context.obj = nats_url or platform_urls().get("nats_url")
    if context.obj is None:
        raise click.UsageError("set PRECEDENT_NATS_URL, or run this where `make run` keeps its .local")


@dead.command("list")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 1000))
@click.pass_obj
def list_letters(url: str, limit: int) -> None:
    """Number, service, subject, entity and reason, newest first."""

    async def run() -> list[RawStreamMsg]:
        async with stream(url) as js:
            return await newest(js, limit)

    letters = asyncio.run(run())
    for letter in letters:
        print(line(letter))
    if not letters:
        print("nothing was given up")


def line(letter: RawStreamMsg) -> str:
    headers: dict[str, Any] = dict(letter.headers or {})
    service = (letter.subject or "").split(".")[1]
    return f"{letter.seq}  {service}  {headers.get(SUBJECT)}  {headers.get('ce-subject', '-')}  {headers.get(REASON)}"


@dead.command("replay")
@click.argument("numbers", nargs=-1, required=True, type=int)
@click.pass_obj
def replay_letters(url: str, numbers: tuple[int, ...]) -> None:
    """Send the letters with these NUMBERS again; every consumer of the subject hears them, and knows what it has."""

    async def run() -> None:
        async with stream(url) as js:
            for number in numbers:
                try:
                    print(f"{number} went to {await replay(js, number)}")
                except NotFoundError:
                    raise click.ClickException(f"there is no letter {number}; see `precedent dead list`") from None

    asyncio.run(run())
