"""`Executor.attach`: the calls of a durable job, seen from another program, or after its end."""

import threading
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any

from covey.client.calls import report_of, result_of
from covey.client.client import HeadClient
from covey.client.future import Future, Owner, is_ours, mark_as_ours
from covey.client.reach import view_of
from covey.errors import CoveyError, JobCancelled, JobNotFound, JobRejected, NotUp
from covey.model.context import MAP_TAG
from covey.model.job import FINAL_STATES
from covey.model.task import OutcomeState
from covey.scheduler.rows import JobRow, OutcomeRow
from covey.scheduler.view import LedgerView
from covey.settings import ANSWER_TIMEOUT_S, Settings

#: `JobSpec.client["kind"]` of jobs whose tasks are calls.
CALLS = "calls"
#: How often the ledger is looked at for new outcomes of a job that runs.
LOOK_EVERY_S = 0.1


class Calls:
    """The tasks of a durable job in the order in which they were submitted.

    `calls[0]` is the future of the first call, `calls.results()` are all results. A batch of
    `map(chunksize=…)` is one task: its future has the list of its results.
    """

    def __init__(self, settings: Settings, view: LedgerView, row: JobRow) -> None:
        """Use `Executor.attach`."""
        self._view = view
        self._row = row
        self._owner = _Asking(settings)
        self._lock = threading.Lock()
        self._futures: dict[int, Future[Any]] = {}
        self._batches: set[int] = set()
        #: What those are told that will never have an outcome.
        self._final: CoveyError | None = None
        self._thread: threading.Thread | None = None
        self._is_closed = threading.Event()

    @classmethod
    def of(cls, settings: Settings, job: int) -> "Calls":
        """The calls of this job.

        Raises:
            JobNotFound: there is no such job.
            JobRejected: its tasks are no calls.
        """
        view = view_of(settings)
        row = view.job(job)
        if row.spec.client.get("kind") != CALLS:
            raise JobRejected(
                f"job {job} holds no calls of an Executor: see it with: covey show {job}", job=job
            )
        return cls(settings, view, row)

    @property
    def job(self) -> int:
        """The number of the job."""
        return self._row.job

    @property
    def state(self) -> str:
        """`running`, `cancelling`, `succeeded`, `failed` or `cancelled`."""
        return self._view.job(self.job).state

    def __len__(self) -> int:
        """How many tasks were submitted so far."""
        return self._view.job(self.job).held

    def __getitem__(self, index: int) -> "Future[Any]":
        """The future of a task, from 0.

        Raises:
            IndexError: so many were not submitted.
        """
        held = len(self)
        if not -held <= index < held:
            raise IndexError(f"job {self.job} has {held} tasks so far")
        return self._future(1 + index % held)

    def __iter__(self) -> Iterator["Future[Any]"]:
        """The futures of the tasks there are now."""
        return (self._future(task) for task in range(1, len(self) + 1))

    def results(self, timeout: float | None = None) -> Iterator[Any]:
        """The results in the order of the calls, those of batches one by one.

        Ends when the job takes no more calls and all have been given.

        Raises:
            TimeoutError: the next one is not there `timeout` seconds after this call.
            BaseException: what the call raised.
        """
        until = None if timeout is None else time.monotonic() + timeout
        return self._results(until)

    def _results(self, until: float | None) -> Iterator[Any]:
        task = 1
        while True:
            row = self._view.job(self.job)
            if task > row.held:
                if row.total is not None or row.state in FINAL_STATES:
                    return
                left_s = LOOK_EVERY_S if until is None else until - time.monotonic()
                if left_s <= 0:
                    raise TimeoutError
                self._is_closed.wait(min(left_s, LOOK_EVERY_S))
                continue
            left = None if until is None else max(0.0, until - time.monotonic())
            value = self._future(task).result(left)
            if task in self._batches:
                yield from value
            else:
                yield value
            task += 1

    def close(self) -> None:
        """Look no more; the job goes on."""
        self._is_closed.set()

    def __enter__(self) -> "Calls":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # ------------------------------------------------------------ inside

    def _future(self, task: int) -> "Future[Any]":
        with self._lock:
            future = self._futures.get(task)
            if future is None:
                future = self._futures[task] = Future(self._owner)
                future.task = (self.job, task)
                if self._final is not None:
                    future.deliver(None, self._final)
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, daemon=True)
                self._thread.start()
        return future

    def _watch(self) -> None:
        mark_as_ours()
        error: CoveyError = JobNotFound(f"job {self.job} was forgotten", job=self.job)
        try:
            error = self._follow()
        except CoveyError as why:
            error = why
        with self._lock:
            self._final = error
            left = [future for future in self._futures.values() if not future.done()]
        for future in left:
            future.deliver(None, error)

    def _follow(self) -> CoveyError:
        """Deliver outcomes until there will be no more; what whoever waits further is told."""
        seq, stood_still = 0, 0.0
        while not self._is_closed.is_set():
            # Asked before reading: what is recorded in between is read in this very round.
            row = self._view.job(self.job)
            page = self._view.outcomes(self.job, seq)
            for outcome in page:
                seq = outcome.seq
                self._resolve(outcome)
            if page:
                continue
            if row.state in FINAL_STATES:
                return JobCancelled(f"job {self.job} has ended: {row.reason or row.state}")
            stood_still = 0.0 if row.is_live else stood_still + LOOK_EVERY_S
            if stood_still > ANSWER_TIMEOUT_S:
                return NotUp(f"job {self.job} stands still: covey up goes on with it")
            self._is_closed.wait(LOOK_EVERY_S)
        return CoveyError(f"nobody looks at job {self.job} any more: it was closed")

    def _resolve(self, row: OutcomeRow) -> None:
        if row.payload[:1] == MAP_TAG:
            self._batches.add(row.task)
        future = self._future(row.task)
        if row.state is OutcomeState.CANCELLED:
            future.cancel()
            return
        future.deliver(*result_of(report_of(row), row.state))


class _Asking(Owner):
    """What can be done about tasks of others: ask the head."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def cancelled(self, future: "Future[Any]") -> None:
        """See `Owner`. A task that has ended stays as it is."""
        if future.task is None or is_ours():
            return
        job, task = future.task
        with HeadClient.connect(self._settings) as head:
            head.ask("cancel", job=job, tasks=[task])

    def is_running(self, future: "Future[Any]") -> bool:
        """See `Owner`: only the head knows."""
        return False
