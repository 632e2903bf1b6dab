"""By what a person, a service manager or a lost terminal says that it is over."""

import asyncio
import contextlib
import select
import signal
import sys
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def stop_signals(on_signal: Callable[[signal.Signals], None]) -> Iterator[None]:
    """In the main thread, within a running loop. A terminal that hangs up counts as SIGHUP."""
    loop = asyncio.get_running_loop()
    # An ignored SIGHUP is the wish of whoever called us through nohup.
    heard = [s for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if signal.getsignal(s) is not signal.SIG_IGN]
    for s in heard:
        loop.add_signal_handler(s, on_signal, s)
    try:
        with _watched_terminal(on_signal) if signal.SIGHUP in heard else contextlib.nullcontext():
            yield
    finally:
        for s in heard:
            loop.remove_signal_handler(s)


@contextlib.contextmanager
def _watched_terminal(on_signal: Callable[[signal.Signals], None]) -> Iterator[None]:
    """The kernel tells only the session's leader. Where that is `make` (`ssh -t host make run`), it tells nobody."""
    if sys.platform != "linux" or not sys.stdin or not sys.stdin.isatty():
        yield
        return
    loop = asyncio.get_running_loop()
    with select.epoll() as terminal:
        terminal.register(sys.stdin.fileno(), 0)  # a hang-up is reported even to those who ask for nothing

        def hung_up() -> None:
            loop.remove_reader(terminal.fileno())
            on_signal(signal.SIGHUP)

        loop.add_reader(terminal.fileno(), hung_up)
        try:
            yield
        finally:
            loop.remove_reader(terminal.fileno())
