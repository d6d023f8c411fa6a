"""Watching a job until it ends: its outcomes out of the ledger, and what runs while it runs."""

import json
import sys
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from covey.cli.output import SCHEMA, note, say, text_or_base64, write_bytes
from covey.cli.select import Selector
from covey.cli.view import (
    INTERRUPTED,
    LedgerView,
    has_ended,
    is_failure,
    pages,
    state_of,
    way_on,
)
from covey.scheduler.rows import JobRow, OutcomeRow
from covey.settings import Settings
from covey.wire.messages import Output

if TYPE_CHECKING:
    from covey.client.head_job import HeadJob

#: The ledger is looked at this often.
POLL_S = 0.2

#: More tasks than this are not asked for one by one.
FOLLOWED_MAX = 16

#: Waits at most so many seconds and gives what running tasks wrote meanwhile.
Wait = Callable[[float], list[Output]]


def stderr_of(row: OutcomeRow) -> bytes:
    """What it wrote; of a callable that raised also the traceback, as a script would show it."""
    if row.error is None or not row.error[2]:
        return row.err
    return row.err + row.error[2].encode("utf-8", "surrogateescape").rstrip(b"\n") + b"\n"


class OutputPrinter:
    """Output of tasks on stdout and stderr, or as JSON Lines; what was shown live comes once."""

    def __init__(
        self,
        *,
        as_json: bool = False,
        tag: bool = False,
        only_failed: bool = False,
        silent: bool = False,
    ) -> None:
        self._silent = silent
        self._as_json = as_json
        self._tag = tag
        self._only_failed = only_failed
        #: (task, n of the attempt, stream) -> bytes shown live.
        self._shown: dict[tuple[int, int, int], int] = {}

    def live(self, piece: Output) -> None:
        """A piece of what a running task writes; pieces may overlap."""
        if self._only_failed or self._silent:
            return
        key = (piece.id, piece.n, piece.stream)
        new = piece.body[max(0, self._shown.get(key, 0) - piece.offset) :]
        if new:
            self._shown[key] = piece.offset + len(piece.body)
            self._put(piece.job, piece.id, piece.n, piece.stream, new)

    def outcome(self, row: OutcomeRow) -> None:
        """The rest of what an ended task wrote."""
        if self._silent or (self._only_failed and not is_failure(row)):
            return
        for stream, data in ((1, row.out), (2, stderr_of(row))):
            rest = data[self._shown.pop((row.task, row.n, stream), 0) :]
            if rest:
                self._put(row.job, row.task, row.attempt, stream, rest)

    def _put(self, job: int, task: int, attempt: int, stream: int, data: bytes) -> None:
        if self._as_json:
            value = {
                "schema": SCHEMA,
                "job": job,
                "task": task,
                "attempt": attempt,
                "stream": "stdout" if stream == 1 else "stderr",
                "data": text_or_base64(data),
            }
            say(json.dumps(value))
            sys.stdout.flush()
            return
        if self._tag:
            mark = f"{job}.{task}\t".encode()
            data = b"".join(mark + line for line in data.splitlines(keepends=True))
        write_bytes(data, sys.stdout if stream == 1 else sys.stderr)


def follow(
    settings: Settings,
    view: LedgerView,
    row: JobRow,
    printer: OutputPrinter,
    *,
    live: Wait,
    tasks: Selector | None = None,
    after_seq: int = 0,
) -> JobRow:
    """Prints outcomes as they are recorded, until the job or all of `tasks` have ended.

    Returns the job as it then is; one that was interrupted is said so and left.
    """
    wanted = None if tasks is None or tasks.keyword else {n for r in tasks.ranges for n in r}
    while True:
        # The state first: what was recorded before the job ended is then seen below.
        row = view.job(row.job)
        for outcome in pages(view, row.job, after_seq):
            after_seq = outcome.seq
            if wanted is None or outcome.task in wanted:
                printer.outcome(outcome)
            if wanted is not None:
                wanted.discard(outcome.task)
        if has_ended(row) or wanted == set():
            return row
        if state_of(row) == INTERRUPTED:
            note(f"job {row.job} is interrupted — go on with: {way_on(settings, row)}")
            return row
        for piece in live(POLL_S):
            printer.live(piece)


@contextmanager
def live_output(settings: Settings, row: JobRow, tasks: Selector | None) -> Generator[Wait]:
    """What running tasks of a job write, while a head has it; else nothing but the wait."""
    if row.run is not None or not row.is_live or has_ended(row):
        yield _rest
        return
    watch = _HeadWatch(settings, row.job)
    try:
        watch.begin(_followed(tasks))
        yield watch.wait
    finally:
        watch.close()


def _rest(seconds: float) -> list[Output]:
    time.sleep(seconds)
    return []


def _followed(tasks: Selector | None) -> list[int]:
    """The tasks to ask for: [0] = every task of the job."""
    if tasks is None or tasks.keyword:
        return [0]
    named = [n for numbers in tasks.ranges for n in numbers[: FOLLOWED_MAX + 1]]
    return named if len(named) <= FOLLOWED_MAX else [0]


class _HeadWatch:
    """A head's job, looked at from a command: asyncio inside, plain calls outside."""

    def __init__(self, settings: Settings, job: int) -> None:
        import asyncio

        self._settings = settings
        self._job = job
        self._runner = asyncio.Runner()
        self._watched: HeadJob | None = None
        self._pieces: list[Output] = []

    def begin(self, tasks: Sequence[int]) -> None:
        """Ask for what these tasks write."""
        self._runner.run(self._begin(tasks))

    async def _begin(self, tasks: Sequence[int]) -> None:
        from covey.client.head_job import HeadJob

        watched = await HeadJob.attach(self._settings, self._job)
        self._watched = watched
        watched.on_output = self._hear
        for task in tasks:
            await watched.follow(task)

    def _hear(self, piece: Output) -> None:
        self._pieces.append(piece)
        if self._watched is not None:
            self._watched.changed.set()

    def wait(self, seconds: float) -> list[Output]:
        """See `Wait`: ends early when there is something."""
        self._runner.run(self._until_changed(seconds))
        pieces, self._pieces = self._pieces, []
        return pieces

    async def _until_changed(self, seconds: float) -> None:
        import asyncio

        watched = self._watched
        assert watched is not None
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await watched.changed.wait()
        watched.changed.clear()

    def close(self) -> None:
        """Look away; the job goes on."""
        if self._watched is not None:
            self._runner.run(self._watched.close())
        self._runner.close()
