"""How far a long command is: a bar for people, plain lines for a log."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

import click
from rich.console import Console
from rich.progress import track

LINE_EVERY = 1_000

T = TypeVar("T")


def shown(items: Iterable[T], total: int, what: str) -> Iterator[T]:
    """`items` as they come, telling their number on the error stream, so that output can be piped."""
    console = Console(stderr=True)
    if console.is_terminal:
        yield from track(items, what, total=total, console=console)
        return
    for number, item in enumerate(items, 1):
        if number % LINE_EVERY == 0:
            click.echo(f"{what}: {number:,} of {total:,}", err=True)
        yield item
