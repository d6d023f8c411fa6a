"""A durable job as its client sees it, with or without a head behind it.

`client.private_job.PrivateJob` carries scheduler and ledger in this process;
`client.head_job.HeadJob` speaks to the head. Both are driven by `drive`: items in under a window,
recorded rows out.
"""

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from covey.errors import CoveyError
from covey.model.job import JobSpec
from covey.scheduler.rows import JobRow, OutcomeRow
from covey.wire.messages import Output

#: Items handed over in one piece.
BATCH_ITEMS = 500
#: Bytes of items handed over in one piece.
BATCH_BYTES = 256 * 1024
#: Items, and bytes of them, that are read ahead of being handed over.
READ_AHEAD_ITEMS = 4 * BATCH_ITEMS
READ_AHEAD_BYTES = 4 * BATCH_BYTES
#: Rows are looked for at least this often, whether or not anybody said that there are some.
LOOK_EVERY_S = 0.25
#: … and at most this often: each look costs a query.
LOOK_AT_MOST_EVERY_S = 0.05
#: Begins what is said while nothing may start: no machine that is there may run it, or none is
#: free enough (--load, --memfree).
WAITS = "waits: "
#: Rows read at once.
PAGE_ROWS = 2000


@dataclass(frozen=True, slots=True)
class JobOrder:
    """What is to be run: a specification whose shapes name `contexts` by digest."""

    spec: JobSpec
    #: digest -> bytes.
    contexts: dict[str, bytes]


class DurableJob(Protocol):
    """One job in a ledger. Methods are for one event loop."""

    job: int
    #: Where it runs, for people: `this machine, 2 slots`.
    where: str
    #: Set whenever something may have changed.
    changed: asyncio.Event
    #: Called with what followed tasks write.
    on_output: Callable[[Output], None] | None
    #: Why nothing goes on any more.
    error: CoveyError | None
    #: What was found damaged or could not be done at the end, after `close`.
    problems: list[CoveyError]

    @property
    def trouble(self) -> str:
        """Why nothing goes on for now ("" = it does)."""
        ...

    async def add(self, items: list[bytes]) -> None:
        """Hand over the next items; returns when the window has room again."""
        ...

    async def seal(self) -> None:
        """No more items."""
        ...

    async def cancel(self, tasks: list[int]) -> None:
        """Cancel tasks, or the job."""
        ...

    async def follow(self, task: int) -> None:
        """From now on `on_output` hears what the task writes (0 = every task)."""
        ...

    def rows(self, after_seq: int) -> list[OutcomeRow]:
        """The next recorded outcomes behind `after_seq`."""
        ...

    def row(self) -> JobRow:
        """The job's own row."""
        ...

    def running(self) -> int:
        """Tasks that run now, as far as is known."""
        ...

    def has_ended(self) -> bool:
        """Whether the job reached a final state, and all of it is in the ledger."""
        ...

    async def close(self) -> None:
        """Let go: a private run ends and is folded into the ledger, a head's job goes on."""
        ...


class _Intake:
    """Items on their way from the thread that reads them to the loop, which takes what is there.

    Whoever types items, or a slow producer, is served at once; whoever has many in pieces of at
    most BATCH_ITEMS and about BATCH_BYTES.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Condition()
        self._items: deque[bytes] = deque()
        self._size_bytes = 0
        self._has_news = asyncio.Event()
        self._is_over = False
        self._error: Exception | None = None

    def read(self, items: Iterator[bytes]) -> None:
        """The thread: read to the end, or until nobody takes any more."""
        try:
            for item in items:
                if not self._put(item):
                    return
        except Exception as error:  # noqa: BLE001 - raised again where it can be told
            self._error = error
        with self._lock:
            self._is_over = True
        self._wake()

    async def take(self) -> list[bytes]:
        """The next items; [] at the end.

        Raises:
            Exception: what reading them raised.
        """
        while True:
            self._has_news.clear()
            if piece := self._some():
                return piece
            if self._is_over and not self._items:
                if self._error is not None:
                    raise self._error
                return []
            await self._has_news.wait()

    def close(self) -> None:
        """Nobody takes any more."""
        with self._lock:
            self._is_over = True
            self._lock.notify()

    def _put(self, item: bytes) -> bool:
        with self._lock:
            while not self._is_over and (
                len(self._items) >= READ_AHEAD_ITEMS or self._size_bytes >= READ_AHEAD_BYTES
            ):
                self._lock.wait()
            if self._is_over:
                return False
            self._items.append(item)
            self._size_bytes += len(item)
            is_first = len(self._items) == 1
        if is_first:
            self._wake()
        return True

    def _wake(self) -> None:
        # The loop may have ended before the input did.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._has_news.set)

    def _some(self) -> list[bytes]:
        piece: list[bytes] = []
        size_bytes = 0
        with self._lock:
            while self._items and len(piece) < BATCH_ITEMS and size_bytes < BATCH_BYTES:
                piece.append(self._items.popleft())
                size_bytes += len(piece[-1])
            self._size_bytes -= size_bytes
            self._lock.notify()
        return piece


async def feed(job: DurableJob, items: Iterator[bytes]) -> int:
    """Hand over all items and seal; returns how many.

    Reading them may block for ever (a pipe that nobody closes), so a daemon thread does it.

    Raises:
        Exception: what reading the items raised.
    """
    intake = _Intake()
    threading.Thread(target=intake.read, args=(items,), name="covey-items", daemon=True).start()
    count = 0
    try:
        while piece := await intake.take():
            await job.add(piece)
            count += len(piece)
    finally:
        intake.close()
    await job.seal()
    return count


async def outcomes(job: DurableJob, after_seq: int = 0) -> AsyncIterator[list[OutcomeRow]]:
    """Pages of recorded outcomes until the job has ended; [] now and then, while nothing comes.

    Raises:
        CoveyError: the job cannot go on here.
    """
    while True:
        # Asked before reading: what is recorded in between is read in this very round.
        is_over = job.has_ended()
        job.changed.clear()
        page = job.rows(after_seq)
        if page:
            after_seq = page[-1].seq
        yield page
        if len(page) >= PAGE_ROWS:
            continue
        if is_over:
            if not page:
                return
            continue
        if job.error is not None:
            raise job.error
        if page:
            await asyncio.sleep(LOOK_AT_MOST_EVERY_S)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK_EVERY_S):
                await job.changed.wait()
