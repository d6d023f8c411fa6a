"""A `covey map` under way: prints what is recorded, counts, listens to Ctrl-C."""

import asyncio
import contextlib
import math
import signal
import sys
import time
from collections.abc import Iterator

from covey.cli.main import INTERRUPTED
from covey.cli.map.ending import Ending, exit_code, halt_line, interrupted_lines
from covey.cli.map.inputs import Input
from covey.cli.map.joblog import JoblogWriter
from covey.cli.map.output import Printer
from covey.cli.map.plan import MapPlan
from covey.cli.map.progress import Counts, Progress, summary
from covey.cli.map.results import Results
from covey.client.jobs import WAITS, DurableJob, feed, outcomes
from covey.client.private_job import PrivateJob
from covey.core.retry import is_halting
from covey.errors import CoveyError
from covey.model.task import OutcomeState
from covey.model.template import Template
from covey.scheduler.rows import OutcomeRow
from covey.wire.messages import Output

#: After the first Ctrl-C, a second one within this time cancels the job.
SECOND_CTRL_C_S = 1.0
#: How often the bar is drawn again while nothing comes.
REDRAW_S = 0.1
#: The same reason to wait is told again after so long at the earliest: load goes up and down.
WAIT_TOLD_S = 60.0


class MapRun:
    """A job under way: prints what is recorded, counts, listens to Ctrl-C."""

    def __init__(
        self,
        plan: MapPlan,
        template: Template,
        job: DurableJob,
        *,
        joblog: JoblogWriter | None,
        results: Results | None,
    ) -> None:
        self._plan = plan
        self._template = template
        self._job = job
        self._began = time.monotonic()
        self._progress = Progress(plan, sys.stderr, f"on {job.where}", now=self._began)
        is_private = isinstance(job, PrivateJob)
        self._printer = Printer(
            plan,
            template,
            joblog=joblog,
            results=results,
            host=(lambda agent: ":") if is_private else (lambda agent: agent or ":"),
            before_output=self._progress.hide,
        )
        self._is_private = is_private
        #: Ctrl-C cancels it at once, for nobody would go on with it.
        self.ends_with_call = False
        self._total: int | None = None
        #: Items that an earlier call had handed over.
        self._held_before = 0
        self._succeeded = self._failed = self._done = 0
        self._halted_by: tuple[int, int] | None = None
        #: Arguments of tasks that may be running, for --lb --tag.
        self._args: dict[int, list[bytes]] = {}
        #: The trouble with the head that was told last.
        self._told = ""
        #: When each reason to wait was told.
        self._told_at: dict[str, float] = {}
        self._interrupts = 0
        self._interrupted = asyncio.Event()
        self._interrupted_twice = asyncio.Event()

    async def feed_and_follow(self, tasks: Iterator[Input]) -> int:
        """Hand over the tasks while following; returns the exit status."""
        return await self._until_end(self._feeding(tasks), 0)

    async def follow(self, held: int, rest: Iterator[Input] | None = None) -> int:
        """Follow a job that has `held` items; `rest`: more of them, to be handed over.

        What is recorded already is not printed again.
        """
        self._held_before = held
        self._total = held if rest is None else None
        after_seq = 0
        while page := self._job.rows(after_seq):
            after_seq = page[-1].seq
            self._printer.printed_before(row.task for row in page)
        row = self._job.row()
        self._succeeded, self._failed, self._done = row.succeeded, row.failed, row.done
        return await self._until_end(None if rest is None else self._feeding(rest), after_seq)

    def _feeding(self, tasks: Iterator[Input]) -> "asyncio.Task[int]":
        feeding = asyncio.get_running_loop().create_task(feed(self._job, self._payloads(tasks)))
        feeding.add_done_callback(self._fed)
        return feeding

    async def _until_end(self, feeding: "asyncio.Task[int] | None", after_seq: int) -> int:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, self._on_ctrl_c)
        if self._plan.line_buffer:
            self._job.on_output = self._partial
            await self._job.follow(0)
        printing = loop.create_task(self._print(feeding, after_seq))
        interrupted = loop.create_task(self._interrupted.wait())
        try:
            await asyncio.wait({printing, interrupted}, return_when=asyncio.FIRST_COMPLETED)
            if not printing.done():
                return await self._stop()
            await printing
            return self._finish()
        finally:
            for task in (printing, interrupted, feeding):
                if task is not None:
                    task.cancel()
            self._progress.hide()
            await self._job.close()
            for problem in self._job.problems:
                self._progress.note(str(problem))

    async def _print(self, feeding: "asyncio.Task[int] | None", after_seq: int) -> None:
        drawing = asyncio.get_running_loop().create_task(self._draw())
        try:
            async for page in outcomes(self._job, after_seq):
                if feeding is not None and feeding.done() and feeding.exception() is not None:
                    await feeding
                for row in page:
                    self._count(row)
                if page:
                    self._printer.rows(page)
                self._progress.update(self._counts(), time.monotonic())
            # The end of the job is recorded, so whoever records is there again.
            self._tell("")
        except BrokenPipeError:
            # Nobody reads our output any more: like a pipeline, stop without a word.
            await self._job.cancel([])
            raise
        finally:
            drawing.cancel()

    async def _draw(self) -> None:
        while True:
            await asyncio.sleep(REDRAW_S)
            self._tell(self._job.trouble)
            self._progress.update(self._counts(), time.monotonic())

    def _tell(self, trouble: str) -> None:
        if trouble == self._told:
            return
        now = time.monotonic()
        if trouble.startswith(WAITS) and now < self._told_at.get(trouble, -math.inf) + WAIT_TOLD_S:
            pass
        elif trouble:
            self._told_at[trouble] = now
            self._progress.note(trouble)
        elif not self._told.startswith(WAITS):
            self._progress.note("the head answers again")
        self._told = trouble

    def _count(self, row: OutcomeRow) -> None:
        self._args.pop(row.task, None)
        self._done += 1
        if row.state == OutcomeState.SUCCEEDED:
            self._succeeded += 1
        elif row.state != OutcomeState.CANCELLED:
            self._failed += 1
        halt = self._plan.halt
        if halt is None or self._halted_by is not None or row.state == OutcomeState.CANCELLED:
            return
        if is_halting(halt, self._succeeded, self._failed, self._total):
            self._halted_by = (row.exit, row.signal)
            self._progress.note(halt_line(halt, self._job.running()))

    def _counts(self) -> Counts:
        return Counts(self._done, self._failed, self._job.running(), self._total)

    def _finish(self) -> int:
        self._printer.close()
        total = self._done if self._total is None else self._total
        row = self._job.row()
        counts = Counts(self._succeeded + self._failed, self._failed, 0, total)
        elapsed_s = time.monotonic() - self._began
        text = summary(counts, elapsed_s, job=row.job, joblog=self._plan.joblog)
        self._progress.finish(text)
        return exit_code(
            Ending(self._succeeded, self._failed, total, self._halted_by), self._plan.halt
        )

    # ------------------------------------------------------------ input and running output

    def _payloads(self, tasks: Iterator[Input]) -> Iterator[bytes]:
        keeps = self._plan.line_buffer
        for number, task in enumerate(tasks, self._held_before + 1):
            if keeps:
                self._args[number] = task.args
            yield task.payload(self._template)

    def _fed(self, feeding: "asyncio.Task[int]") -> None:
        if not feeding.cancelled() and feeding.exception() is None:
            self._total = self._held_before + feeding.result()
        self._job.changed.set()

    def _partial(self, output: Output) -> None:
        args = self._args.get(output.id, [])
        with contextlib.suppress(BrokenPipeError):
            self._printer.partial(
                output.id,
                "out" if output.stream == 1 else "err",
                output.body,
                args,
                n=output.n,
                offset=output.offset,
            )

    # ------------------------------------------------------------ Ctrl-C

    def _on_ctrl_c(self) -> None:
        self._interrupts += 1
        self._interrupted.set()
        if self._interrupts >= 2:
            self._interrupted_twice.set()

    async def _stop(self) -> int:
        if self.ends_with_call:
            self._progress.note(f"job {self._job.job} is cancelled")
            with contextlib.suppress(CoveyError):
                await self._job.cancel([])
                await self._await_end()
            return INTERRUPTED
        for line in interrupted_lines(self._job.job, goes_on=not self._is_private):
            self._progress.note(line)
        if self._total is None and not self._is_private:
            held = self._job.row().held
            self._progress.note(f"its input was not read to the end: it has {held:,} items")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SECOND_CTRL_C_S):
                await self._interrupted_twice.wait()
        if self._interrupts >= 2:
            self._progress.note(f"job {self._job.job} is cancelled")
            with contextlib.suppress(CoveyError):
                await self._job.cancel([])
                if self._is_private:
                    await self._await_end()
        return INTERRUPTED

    async def _await_end(self) -> None:
        async for _ in outcomes(self._job):
            continue
