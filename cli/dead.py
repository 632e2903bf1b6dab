"""`precedent dead`: for operators, what the workers gave up, and sending it again once the cause is gone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import click
import nats
from nats.js import JetStreamContext

from cli.platform import platform_urls
from shared.dead_letters import Letter, letters, replay


@asynccontextmanager
async def stream(url: str) -> AsyncIterator[JetStreamContext]:
    connection = await nats.connect(url, max_reconnect_attempts=1)
    try:
        yield connection.jetstream()
    finally:
        await connection.close()


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

    async def run() -> list[Letter]:
        async with stream(url) as js:
            return await newest(js, limit)

    found = asyncio.run(run())
    for letter in found:
        print(line(letter))
    if not found:
        print("nothing was given up")


async def newest(js: JetStreamContext, limit: int) -> list[Letter]:
    found, before = await letters(js, None, limit)
    while before is not None and len(found) < limit:
        more, before = await letters(js, before, limit - len(found))
        found += more
    return found


def line(letter: Letter) -> str:
    return f"{letter.number}  {letter.service}  {letter.subject}  {letter.about or '-'}  {letter.reason}"


@dead.command("replay")
@click.argument("numbers", nargs=-1, required=True, type=int)
@click.pass_obj
def replay_letters(url: str, numbers: tuple[int, ...]) -> None:
    """Send the letters with these NUMBERS again; every consumer of the subject hears them, and knows what it has."""

    async def run() -> None:
        async with stream(url) as js:
            for number in numbers:
                sent = await replay(js, number)
                if sent is None:
                    raise click.ClickException(f"there is no letter {number}; see `precedent dead list`")
                print(f"{number} went to {sent.subject}")

    asyncio.run(run())
