"""The loop of a durable Executor: calls become tasks of one job of the head, rows become results.

The same face towards the engine as `client.dispatcher`. Nothing is decided here: the head
schedules, its ledger remembers, and the job goes on when this program ends.
"""

import asyncio
import contextlib
import itertools
import sys
from collections import deque
from collections.abc import Callable
from typing import Any

from covey.client.attached import CALLS
from covey.client.calls import report_of, result_of
from covey.client.feed import SUBMIT_MAX, Deliver, Entry, Feed, Large, Options
from covey.client.future import Future
from covey.client.head_job import HeadJob
from covey.client.jobs import JobOrder, outcomes
from covey.client.pythons import shape_of_call
from covey.errors import CoveyError, JobCancelled, JobNotFound, JobRejected, UsageError
from covey.model.job import RetryPolicy
from covey.model.task import OutcomeState
from covey.scheduler.rows import OutcomeRow

#: A program that ends hands over what it submitted within this time, or says that it could not.
LEAVE_MAX_S = 10.0


class DurableDispatcher:
    """Lives on its loop; the engine speaks to it with `call_soon`."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._queue = feed.queue
        self._entered: deque[Entry] = deque()
        #: On their way to the head, not numbered yet.
        self._leaving: list[Future[Any]] = []
        #: Open ones, in the order of their tasks.
        self._futures: dict[int, Future[Any]] = {}
        self._delivers: dict[int, Deliver] = {}
        self._shapes: dict[tuple[str, Options], int] = {}
        self._sent_contexts: set[str] = set()
        self._cancelled: list[int] = []
        self._retries = 0
        self._next = 1
        self._job: HeadJob | None = None
        self._ends_when_idle = self._is_leaving = self._is_sealed = False

    async def live(self, up: Callable[["DurableDispatcher"], None]) -> None:
        """Hand calls over and results back until the end.

        Raises:
            CoveyError: the head cannot be reached, or the cluster was taken down.
        """
        self._loop = asyncio.get_running_loop()
        self._news, self._begun, self._end = asyncio.Event(), asyncio.Event(), asyncio.Event()
        up(self)
        parts = (asyncio.create_task(self._send()), asyncio.create_task(self._gather()))
        try:
            ended, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
            for part in ended:
                part.result()
        finally:
            for part in parts:
                part.cancel()
            await asyncio.gather(*parts, return_exceptions=True)
            if self._job is not None:
                await self._job.close()

    # ------------------------------------------------------------ what the engine says

    def call_soon(self, what: Callable[..., None], *args: Any) -> None:
        """Have a method called on the loop. From any thread; nothing when the loop has ended."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(what, *args)

    def open(self) -> None:
        """Get a number, even though nothing has been submitted."""
        self._news.set()

    def is_running(self, future: "Future[Any]") -> bool:
        """Whether it has been granted: tasks are, in their order, as far as nothing failed."""
        job, where = self._job, future.task
        if job is None or where is None:
            return False
        return where[1] in itertools.islice(tuple(self._futures), job.running())

    def drain(self) -> None:
        """Take what was submitted."""
        self._entered += self._feed.take(lambda: self.call_soon(self.drain))
        self._news.set()

    def cancel(self, future: "Future[Any]") -> None:
        """Its caller does not want it any more."""
        if future.task is not None and future.task[1] in self._futures:
            self._cancelled.append(future.task[1])
            self._news.set()

    def cancel_pending(self) -> None:
        """Cancel what does not run."""
        waiting = [*self._leaving, *(entry[0] for entry in (*self._entered, *self._queue))]
        for future in [*self._futures.values(), *waiting]:
            if not self.is_running(future):
                future.cancel()

    def end_when_idle(self) -> None:
        """End as soon as all tasks have."""
        self._ends_when_idle = True
        self._news.set()

    def stop(self) -> None:
        """Leave: what was submitted is handed over, and the head goes on with it alone."""
        self._is_leaving = True
        self._news.set()
        self._loop.call_later(LEAVE_MAX_S, self._finish)

    def leave(self, error: CoveyError | None) -> None:
        """The loop has ended: nobody else will end what is still open."""
        waiting = [*self._leaving, *(entry[0] for entry in self._entered)]
        for future in [*self._futures.values(), *waiting]:
            if error is None:
                future.cancel()
            else:
                future.deliver(None, error)

    def _finish(self) -> None:
        self._end.set()
        self._begun.set()
        if self._job is not None:
            self._job.changed.set()

    # ------------------------------------------------------------ out: calls

    async def _send(self) -> None:
        while True:
            self._news.clear()
            while self._entered:
                await self._hand_over()
            if self._feed.wants_number:
                await self._opened(Options())
            if self._cancelled and self._job is not None:
                tasks, self._cancelled = self._cancelled, []
                await self._job.cancel(tasks)
            if (self._ends_when_idle or self._is_leaving) and not (self._queue or self._entered):
                await self._close()
            await self._news.wait()

    async def _close(self) -> None:
        """There will be no more calls."""
        if self._job is not None and not self._is_sealed:
            self._is_sealed = True
            await self._job.seal()
        if self._is_leaving or self._job is None:
            self._finish()

    async def _hand_over(self) -> None:
        """The next calls of one kind."""
        _, options, context, _, _ = self._entered[0]
        group = self._next_group(context, options)
        if not group:
            return
        self._leaving = [future for future, _, _ in group]
        job = await self._opened(options)
        if options.retries != self._retries:
            self._refuse(group)
            return
        try:
            shape = await self._shape(job, context, options)
        except JobRejected as error:
            self._leaving = []
            for future, _, _ in group:
                future.deliver(None, error)
            return
        for future, _, deliver in group:
            future.task = (job.job, self._next)
            self._futures[self._next] = future
            if deliver is not None:
                self._delivers[self._next] = deliver
            if future.cancelled():
                self._cancelled.append(self._next)
            self._next += 1
        self._leaving = []
        try:
            await job.add([data for _, data, _ in group], shape)
        except (JobNotFound, JobRejected) as error:
            for future, _, _ in group:
                future.deliver(None, error)

    def _next_group(
        self, context: str, options: Options
    ) -> list[tuple["Future[Any]", bytes, Deliver | None]]:
        group: list[tuple[Future[Any], bytes, Deliver | None]] = []
        while self._entered and len(group) < SUBMIT_MAX:
            future, its_options, its_context, payload, deliver = self._entered[0]
            if (its_context, its_options) != (context, options):
                break
            self._entered.popleft()
            if not future.done():
                data = payload.data if isinstance(payload, Large) else payload
                group.append((future, data, deliver))
        return group

    async def _opened(self, options: Options) -> HeadJob:
        """The job; the first call opens it."""
        if self._job is None:
            self._retries = options.retries
            client: dict[str, object] = {"kind": CALLS, "command": " ".join(sys.argv)}
            retry = RetryPolicy(starts_max=options.retries + 1)
            spec = self._feed.place.placing.spec(retry=retry, client=client)
            self._job = await HeadJob.begin(self._feed.place.settings, JobOrder(spec, {}))
            self._begun.set()
            self._feed.number.set_result(self._job.job)
        return self._job

    def _refuse(self, group: list[tuple["Future[Any]", bytes, Deliver | None]]) -> None:
        error = UsageError(
            f"a durable Executor has one number of retries for all its calls: {self._retries}, that"
            " of the first; make another Executor(durable=True) for the others"
        )
        for future, _, _ in group:
            future.deliver(None, error)

    async def _shape(self, job: HeadJob, context: str, options: Options) -> int:
        number = self._shapes.get((context, options))
        if number is not None:
            return number
        if context not in self._sent_contexts:
            await job.put(self._feed.contexts[context])
            self._sent_contexts.add(context)
        number = len(self._shapes) + 1
        await job.shape(number, shape_of_call(self._feed, context, options))
        self._shapes[context, options] = number
        return number

    # ------------------------------------------------------------ in: results

    async def _gather(self) -> None:
        await self._begun.wait()
        job = self._job
        if job is None:
            return
        async for page in outcomes(job):
            for row in page:
                self._resolve(row)
            if self._end.is_set():
                return
        if not self._is_sealed:
            raise JobCancelled(f"job {job.job} was ended by somebody: covey show {job.job}")

    def _resolve(self, row: OutcomeRow) -> None:
        future = self._futures.pop(row.task, None)
        deliver = self._delivers.pop(row.task, None)
        if future is None:
            return
        if row.state is OutcomeState.CANCELLED:
            future.cancel()
        elif deliver is not None:
            deliver(future, report_of(row), row.state)
        elif not future.done():
            future.deliver(*result_of(report_of(row), row.state))
