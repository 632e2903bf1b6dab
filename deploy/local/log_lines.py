"""One terminal shared by many processes: every line says whose it is."""

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from itertools import cycle
from typing import TextIO

Say = Callable[[str, str], None]  # (name of the process, one line of text)

COLOURS = (36, 33, 35, 32, 34, 96, 93, 95, 92, 94)  # SGR foregrounds that read on dark and light alike; red means error


def wants_colour(environ: Mapping[str, str], out: TextIO) -> bool:
    """https://no-color.org wins over FORCE_COLOR, which wins over what the terminal says."""
    if environ.get("NO_COLOR"):
        return False
    return bool(environ.get("FORCE_COLOR")) or out.isatty()


def mute_what_is_closed() -> None:
    """Who was started with `>&-` speaks to nobody; and no file of ours gets a number that stands for a stream."""
    for stream, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, stream) is None:
            setattr(sys, stream, os.fdopen(os.open(os.devnull, os.O_RDWR), mode))


def log_lines(names: Iterable[str], environ: Mapping[str, str], out: TextIO | None = None) -> Say:
    """Returns `say(name, text)`. A reader who has gone away (a closed pipe, a hung-up terminal) stops nothing."""
    names, out = list(names), out or sys.stdout
    width = max(map(len, names))
    colour = dict(zip(names, cycle(COLOURS), strict=False)) if wants_colour(environ, out) else {}

    def say(name: str, text: str) -> None:
        prefix = f"{name:{width}} |"
        if name in colour:
            prefix = f"\x1b[{colour[name]}m{prefix}\x1b[0m"
        try:
            print(prefix, text, file=out, flush=True)
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())  # what is still buffered goes there, too

    return say
