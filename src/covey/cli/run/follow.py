"""A `covey run` under way: results as they come, what still runs, Ctrl-C."""

import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import Callable

from covey.bus.loop import run_loop
from covey.cli.output import note, printable, write_bytes
from covey.cli.run.report import names_text
from covey.client.errands import ErrandOrder, ErrandResult, ErrandRun
from covey.errors import CoveyError
from covey.settings import Settings
from covey.wire.messages import Output

#: After the first Ctrl-C, a second one within this time cancels the job.
SECOND_CTRL_C_S = 1.0
#: What is still waited for is told after so long, and then as often.
TELL_EVERY_S = 5.0
#: The same on a terminal, where it is one line that goes away again.
DRAW_EVERY_S = 0.5

OnResult = Callable[[ErrandResult], None]


class Interrupted(Exception):
    """Ctrl-C: the job goes on, or was cancelled."""


def follow(
    settings: Settings, order: ErrandOrder, on_result: OnResult, *, live: bool, ends_with_us: bool
) -> tuple[int, tuple[str, ...]]:
    """Run it and wait for every machine; (number of the job, its machines).

    live: print lines as they are written, each with the name of its machine. ends_with_us: Ctrl-C
    cancels at once; else the job goes on, and a second Ctrl-C cancels it.

    Raises:
        Interrupted: by Ctrl-C.
        CoveyError: it could not be begun, or the head does not go on.
    """

    async def run() -> tuple[int, tuple[str, ...]]:
        errand = await ErrandRun.begin(settings, order)
        try:
            follower = _Follower(errand, on_result, live=live, ends_with_us=ends_with_us)
            await follower.run()
            return errand.job, errand.machines
        finally:
            await errand.close()

    return run_loop(run())


class _Follower:
    def __init__(
        self, errand: ErrandRun, on_result: OnResult, *, live: bool, ends_with_us: bool
    ) -> None:
        self._errand = errand
        self._on_result = on_result
        self._is_live = live
        self._ends_with_us = ends_with_us
        self._lines = LiveLines() if live else None
        #: The trouble with the head that was told last.
        self._told = ""
        self._interrupts = 0
        self._interrupted = asyncio.Event()
        self._interrupted_twice = asyncio.Event()
        self._waiting = _Waiting(len(errand.machines))

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, self._on_ctrl_c)
        if self._lines is not None:
            await self._errand.follow(self._lines.hear)
        taking = loop.create_task(self._take())
        interrupted = loop.create_task(self._interrupted.wait())
        try:
            await asyncio.wait({taking, interrupted}, return_when=asyncio.FIRST_COMPLETED)
            if taking.done():
                await taking
            else:
                await self._stop()
        finally:
            self._waiting.hide()
            for task in (taking, interrupted):
                task.cancel()

    async def _take(self) -> None:
        async for page in self._errand.results():
            if page:
                self._waiting.hide()
            for result in page:
                if self._lines is not None:
                    self._lines.rest(result)
                self._on_result(result)
            self._tell(self._errand.trouble)
            self._waiting.tell(self._errand.waiting)
        # All results are recorded, so whoever records is there again.
        self._tell("")

    def _tell(self, trouble: str) -> None:
        if trouble != self._told:
            self._told = trouble
            note(f"covey: {trouble or 'the head answers again'}")

    def _on_ctrl_c(self) -> None:
        self._interrupts += 1
        self._interrupted.set()
        if self._interrupts >= 2:
            self._interrupted_twice.set()

    async def _stop(self) -> None:
        self._waiting.hide()
        job = self._errand.job
        if not self._ends_with_us:
            note(f"job {job} goes on — come back: covey attach {job}   stop it: covey cancel {job}")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SECOND_CTRL_C_S):
                    await self._interrupted_twice.wait()
        if self._ends_with_us or self._interrupts >= 2:
            with contextlib.suppress(CoveyError):
                await self._errand.cancel()
            note(f"job {job} is cancelled")
        raise Interrupted


class LiveLines:
    """Whole lines of machines as they are written, each with the name of its machine."""

    def __init__(self) -> None:
        #: (machine, stream) -> bytes taken, and the line that is not whole yet.
        self._seen: dict[tuple[str, int], tuple[int, bytes]] = {}

    def hear(self, machine: str, output: Output) -> None:
        """A piece of what a machine writes; pieces may overlap or be missing."""
        self._take(machine, output.stream, output.offset, output.body)

    def rest(self, result: ErrandResult) -> None:
        """What of its output was not printed yet."""
        for stream, data in ((1, result.stdout), (2, result.stderr)):
            self._take(result.machine, stream, 0, data)
            _, line = self._seen.pop((result.machine, stream), (0, b""))
            if line:
                self._print(result.machine, stream, line + b"\n")

    def _take(self, machine: str, stream: int, offset: int, data: bytes) -> None:
        taken, line = self._seen.get((machine, stream), (0, b""))
        if offset > taken or offset + len(data) <= taken:
            return
        lines, newline, line = (line + data[taken - offset :]).rpartition(b"\n")
        self._seen[machine, stream] = (offset + len(data), line)
        self._print(machine, stream, lines + newline)

    def _print(self, machine: str, stream: int, lines: bytes) -> None:
        mark = f"{machine}: ".encode()
        data = b"".join(mark + line for line in lines.splitlines(keepends=True))
        if data:
            write_bytes(data, sys.stdout if stream == 1 else sys.stderr)


class _Waiting:
    """Says on standard error which machines are still waited for."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._is_terminal = sys.stderr.isatty()
        self._told_at = time.monotonic()
        self._is_drawn = False

    def tell(self, waiting: list[str]) -> None:
        """It is time now and then."""
        now = time.monotonic()
        every_s = DRAW_EVERY_S if self._is_terminal else TELL_EVERY_S
        if not waiting or now < self._told_at + every_s:
            return
        self._told_at = now
        done = self._total - len(waiting)
        text = f"covey: {done} of {self._total} done, waiting for {names_text(waiting)}"
        if self._is_terminal:
            sys.stderr.write(f"\r\033[K{printable(text)[:100]}")
            sys.stderr.flush()
            self._is_drawn = True
        else:
            note(text)

    def hide(self) -> None:
        """Something else is printed."""
        if self._is_drawn:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()
            self._is_drawn = False
