"""`python -m deploy.local`: the whole system on one machine, until Ctrl-C."""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Mapping

from deploy.local.environment import entrance, home_path, opened
from deploy.local.errors import PlatformError
from deploy.local.home import Home
from deploy.local.layout import Layout, plan
from deploy.local.log_lines import Say, log_lines, mute_what_is_closed
from deploy.local.process import die_with_parent
from deploy.local.services import FLEET, Fleet
from deploy.local.supervisor import NAME, Supervisor


async def run(environ: Mapping[str, str], fleet: Fleet) -> int:
    """The exit code. Raises `PlatformError`, or `OSError` when the home cannot be written."""
    place = entrance(environ)
    home = Home.open(home_path(environ))
    opened(place).close()
    layout = plan(environ, home, place, fleet)
    say = log_lines([NAME, *layout.names], environ)
    try:
        return await Supervisor(say, home.lock_fd, Arrival(layout, say)).run(layout.stages)
    finally:
        layout.remove_platform()
        say(NAME, "everything has stopped")


class Arrival:
    """Tells a person once, and programs each time a process id has changed."""

    def __init__(self, layout: Layout, say: Say) -> None:
        self._layout = layout
        self._say = say
        self._told = False

    def __call__(self, pids: Mapping[str, int]) -> None:
        self._layout.write_platform(pids)
        if not self._told:
            self._told = True
            for line in self._layout.welcome():
                self._say(NAME, line)


def main(fleet: Fleet = FLEET) -> int:
    mute_what_is_closed()
    parser = argparse.ArgumentParser(prog="python -m deploy.local", description=__doc__)
    parser.add_argument("--parent", type=int, help="process id of a parent without which to stop, too")
    if parent := parser.parse_args().parent:
        die_with_parent(signal.SIGTERM, parent)()
    try:
        return asyncio.run(run(os.environ, fleet))
    except PlatformError as e:
        print(f"{NAME}: {e}", file=sys.stderr)
        return e.exit_code
    except OSError as e:
        print(f"{NAME}: {e.filename or 'the system'}: {e.strerror}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


if __name__ == "__main__":
    sys.exit(main())
