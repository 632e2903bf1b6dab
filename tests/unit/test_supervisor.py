"""Policy of the supervisor, on small real processes."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.local import process
from deploy.local.errors import PlatformError
from deploy.local.process import Proc
from deploy.local.supervisor import ONE_WISH_SECONDS, Supervisor

SECONDS = 20.0


async def yes() -> bool:
    return True


async def no() -> bool:
    return False


class Bench:
    """Runs stages, keeps what was said, and sends signals to itself as a terminal would."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.lines: list[str] = []
        self.pids: list[dict[str, int]] = []

    def proc(self, name: str, script: str, **how: Any) -> Proc:
        how = {"ready": yes, **how}
        return Proc(name=name, argv=["/bin/sh", "-c", script], env=os.environ, cwd=self.directory, **how)

    def wrote(self, name: str) -> Callable[[], Awaitable[bool]]:
        async def ready() -> bool:
            return (self.directory / name).exists()

        return ready

    async def run(self, *stages: list[Proc], then: Callable[[], Awaitable[None]] | None = None) -> int:
        up = asyncio.Event()

        def changed(pids: dict[str, int]) -> None:
            self.pids.append(pids)
            up.set()

        async def act() -> None:
            await up.wait()
            await (then or interrupt)()

        with Path(os.devnull).open() as keep:
            supervisor = Supervisor(lambda name, text: self.lines.append(f"{name}: {text}"), keep.fileno(), changed)
            acting = asyncio.create_task(act())
            try:
                return await asyncio.wait_for(supervisor.run(stages), SECONDS)
            finally:
                acting.cancel()

    def said(self, text: str) -> bool:
        return any(text in line for line in self.lines)

    async def heard(self, text: str) -> None:
        async with asyncio.timeout(SECONDS):
            while not self.said(text):
                await asyncio.sleep(0.01)


async def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """Signals are heard also where the tests run in the background, which has them ignored."""
    before = {s: signal.signal(s, signal.default_int_handler) for s in (signal.SIGINT, signal.SIGHUP)}
    yield Bench(tmp_path)
    for s, handler in before.items():
        signal.signal(s, handler)


ORDERLY = "trap 'echo {0} stops; exit 0' TERM; echo {0} starts; touch {0}; while :; do sleep 0.02; done"


async def test_stages_start_in_order_and_stop_in_reverse(bench: Bench) -> None:
    first, second = (bench.proc(n, ORDERLY.format(n), ready=bench.wrote(n)) for n in ("first", "second"))
    assert await bench.run([first], [second]) == 0
    order = [line.partition(": ")[2] for line in bench.lines if "SIGINT" not in line]
    assert order == ["first starts", "second starts", "second stops", "first stops"]


async def test_a_one_shot_ends_before_the_next_stage_and_is_not_started_again(bench: Bench) -> None:
    once = bench.proc("once", "sleep 0.1; echo done", once=True)
    assert (
        await bench.run([once], [bench.proc("next", "echo goes; sleep 100")], then=lambda: stop_after(bench, "goes"))
        == 0
    )
    assert bench.lines[:2] == ["once: done", "next: goes"]


async def test_a_failing_one_shot_ends_it_all_with_its_exit_code_and_its_last_line(bench: Bench) -> None:
    with pytest.raises(PlatformError, match="once ended with exit code 3: why") as e:
        await bench.run(
            [bench.proc("server", ORDERLY.format("server"))], [bench.proc("once", "echo why; exit 3", once=True)]
        )
    assert e.value.exit_code == 3
    assert bench.said("server stops")


async def test_what_ends_before_it_is_ready_ends_it_all(bench: Bench) -> None:
    with pytest.raises(PlatformError, match="a was killed by SIGKILL before it was ready"):
        await bench.run([bench.proc("a", "kill -9 $$", ready=no)])


async def test_what_is_not_ready_in_time_ends_it_all(bench: Bench) -> None:
    with pytest.raises(PlatformError, match=r"a was not ready after 0\.1 s"):
        await bench.run([bench.proc("a", "sleep 100", ready=no, ready_seconds=0.1)])


async def test_a_program_that_is_not_there_is_named(bench: Bench) -> None:
    with pytest.raises(PlatformError, match="a cannot be started: /nowhere/a: No such file"):
        await bench.run([Proc(name="a", argv=["/nowhere/a"], env={})])


async def test_one_that_dies_is_started_again_later_and_later_until_it_is_too_often(bench: Bench) -> None:
    stays = bench.proc("stays", ORDERLY.format("stays"))
    with pytest.raises(PlatformError, match="dies ended with exit code 7, 3 times in a row") as e:
        await bench.run([stays, bench.proc("dies", "sleep 0.05; exit 7", quick_deaths=3)], then=asyncio.Event().wait)
    assert e.value.exit_code == 7
    assert bench.said("dies ended with exit code 7; it is started again in 0.2 s")
    assert bench.said("dies ended with exit code 7; it is started again in 0.4 s")
    assert bench.said("stays stops")
    assert len({pids["dies"] for pids in bench.pids}) == len(bench.pids) == 3


async def test_a_clean_exit_of_what_should_stay_is_a_failure_too(bench: Bench) -> None:
    with pytest.raises(PlatformError) as e:
        await bench.run([bench.proc("leaves", "sleep 0.05", quick_deaths=1)], then=asyncio.Event().wait)
    assert e.value.exit_code == 1


async def test_one_that_does_not_stop_is_killed_after_its_grace(bench: Bench) -> None:
    deaf = "trap '' TERM; touch deaf; while :; do sleep 0.02; done"
    assert await bench.run([bench.proc("deaf", deaf, ready=bench.wrote("deaf"), grace=0.2)]) == 0
    assert bench.said("deaf: did not stop within 0.2 s and is killed")


async def test_a_second_signal_does_not_wait(bench: Bench) -> None:
    deaf = "trap '' TERM; touch deaf; while :; do sleep 0.02; done"

    async def twice() -> None:
        await interrupt()
        await bench.heard("SIGINT: stopping")  # from when on the time between the two is counted
        await asyncio.sleep(ONE_WISH_SECONDS + 0.1)
        await interrupt()

    assert await bench.run([bench.proc("deaf", deaf, ready=bench.wrote("deaf"), grace=1000)], then=twice) == 130


@pytest.mark.parametrize(("hears", "seconds"), [("trap 'echo tidied; exit 0' QUIT", SECONDS), ("trap '' QUIT", 0.1)])
async def test_who_has_something_to_tidy_up_may_do_so_when_nobody_waits_any_longer(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, hears: str, seconds: float
) -> None:
    monkeypatch.setattr(process, "FORCED_SECONDS", seconds)
    # As in the background of a script; what is ignored when it starts, a shell cannot trap.
    before = signal.signal(signal.SIGQUIT, signal.SIG_IGN)
    script = f"trap '' TERM; {hears}; touch up; while :; do sleep 0.02; done"
    how = {"ready": bench.wrote("up"), "grace": 0.2, "force": signal.SIGQUIT}
    assert await bench.run([bench.proc("tidy", script, **how)]) == 0
    signal.signal(signal.SIGQUIT, before)
    assert bench.said("tidy: tidied") == ("tidied" in hears)


async def test_several_signals_of_one_cause_still_stop_in_order(bench: Bench) -> None:
    async def hang_up() -> None:
        for s in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
            os.kill(os.getpid(), s)
            await asyncio.sleep(0.01)

    slow = "trap 'sleep 0.2; echo done; exit 0' TERM; touch slow; while :; do sleep 0.02; done"
    assert await bench.run([bench.proc("slow", slow, ready=bench.wrote("slow"))], then=hang_up) == 0
    assert bench.said("slow: done")


async def test_what_a_process_had_started_goes_with_it(bench: Bench) -> None:
    leaves_a_child = "sleep 1000 & echo $! > child; touch up; wait"
    assert await bench.run([bench.proc("parent", leaves_a_child, ready=bench.wrote("up"))]) == 0
    child = int((bench.directory / "child").read_text())
    state = Path(f"/proc/{child}/stat")
    async with asyncio.timeout(SECONDS):
        while state.exists() and state.read_text().split()[2] != "Z":
            await asyncio.sleep(0.01)


async def test_a_line_without_end_hurts_nobody(bench: Bench) -> None:
    endless = f"{sys.executable} -c \"print('x' * 3_000_000); print('after')\"; sleep 100"
    assert await bench.run([bench.proc("talks", endless)], then=lambda: stop_after(bench, "after")) == 0
    assert not any(len(line) > 2_000_000 for line in bench.lines)


async def stop_after(bench: Bench, text: str) -> None:
    await bench.heard(text)
    await interrupt()


async def test_what_only_a_new_start_helps_is_started_anew_once_it_can_be_helped(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "SETTLED_SECONDS", 0.0)
    monkeypatch.setattr(process, "CURABLE_SECONDS", 0.01)
    room = bench.directory / "room"

    async def then() -> None:
        await bench.heard("store: no room")
        await asyncio.sleep(0.2)
        assert not bench.said("started again")
        room.touch()
        await bench.heard("store: stores")
        await interrupt()

    script = "if [ -e room ]; then echo stores; else echo no room; fi; exec sleep 60"
    store = bench.proc("store", script, stuck=re.compile("no room"), curable=room.exists)
    assert await bench.run([store], then=then) == 0
