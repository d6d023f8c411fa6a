"""Jobs that are kept in a ledger: submitted, filled, sealed, cancelled, restored.

The same for the head and for a private run. Items are scheduled as soon as they are handed over and
written behind that; who handed them over is told when they are durable, and keeps his window by it.
"""

import time
from collections.abc import Callable
from typing import Any

from covey.core.actions import Record, RecordAttempts, RecordJob
from covey.core.events import Added, CancelAsked, Opened, Sealed, Shaped, TailAsked
from covey.core.events import Event as CoreEvent
from covey.errors import DecodeError, JobNotFound, JobRejected
from covey.files.blobs import BlobStore
from covey.model.job import JobState, Shape
from covey.model.pack import pack
from covey.model.reference import make_reference
from covey.model.report import Report, decode_report
from covey.scheduler.ledger import Ledger
from covey.scheduler.reader import LedgerReader
from covey.scheduler.records import (
    Attempts,
    Event,
    Items,
    JobSealed,
    JobStateChanged,
    NewJob,
    NewShape,
    Op,
    Outcomes,
    PhaseTimes,
    ShapeFrom,
)
from covey.scheduler.tracing import Tracing
from covey.settings import INLINE_MAX_BYTES
from covey.wire.codec import shape_to_wire, spec_from_wire

#: Payloads kept in memory ahead of being granted; the rest is read from the ledger when its turn
#: comes.
AHEAD_MAX = 10_000


class LedgerRecorder:
    """Implements `ports.Recorder` with a ledger. tracing: that of the scheduler's service."""

    def __init__(self, ledger: Ledger, tracing: Tracing) -> None:
        self._ledger = ledger
        self._tracing = tracing

    def outcomes(
        self, record: Record, reports: list[bytes | None], then: Callable[[], None]
    ) -> None:
        """See `ports.Recorder`."""
        r = record
        kept = _decoded(reports)
        ops: list[Op] = [Outcomes(r.job, r.term, r.ids, r.ns, r.states, r.agent, kept, time.time())]
        if phases := self._tracing.take(r.job, r.ids):
            ops.append(PhaseTimes(r.job, phases))
        self._ledger.write(ops, then)

    def attempts(
        self, record: RecordAttempts, reports: list[bytes | None], then: Callable[[], None]
    ) -> None:
        """See `ports.Recorder`."""
        r = record
        kept = _decoded(reports)
        op = Attempts(r.job, r.term, r.ids, r.ns, r.states, r.agent, kept, time.time())
        self._ledger.write([op], then)

    def job_state(self, record: RecordJob, then: Callable[[], None]) -> None:
        """See `ports.Recorder`."""
        op = JobStateChanged(record.job, record.state, record.reason, time.time())
        self._ledger.write([op], then)


def _decoded(reports: list[bytes | None]) -> list[Report | None]:
    return [_one(report) if report else None for report in reports]


def _one(report: bytes) -> Report:
    try:
        return decode_report(report)
    except DecodeError as error:
        # Of an agent that speaks nonsense: its task has ended all the same, and says why.
        return Report(exit=1, err=str(error).encode(), err_size=len(str(error)))


class LedgerPayloads:
    """Implements `ports.Payloads`: from memory while fresh, then from the ledger; blobs from
    disk.
    """

    def __init__(self, reader: LedgerReader, blobs: BlobStore) -> None:
        self._reader = reader
        self._blobs = blobs
        self._fresh: dict[int, dict[int, bytes]] = {}
        self._durable: dict[int, int] = {}

    def added(self, job: int, first: int, args: list[bytes]) -> None:
        """These items were handed over and are not durable yet."""
        self._fresh.setdefault(job, {}).update(
            zip(range(first, first + len(args)), args, strict=True)
        )

    def committed(self, job: int, last: int) -> None:
        """Items up to `last` are in the ledger: the far ones leave the memory."""
        self._durable[job] = last
        fresh = self._fresh.get(job)
        if fresh is not None and len(fresh) > AHEAD_MAX:
            for task in [t for t in fresh if t <= last][AHEAD_MAX:]:
                del fresh[task]

    def take(self, job: int, ids: list[int]) -> list[bytes]:
        """See `ports.Payloads`."""
        fresh = self._fresh.get(job, {})
        durable = self._durable.get(job, 0)
        missing = [task for task in ids if task not in fresh]
        read = (
            dict(zip(missing, self._reader.payloads(job, missing), strict=True)) if missing else {}
        )
        found: list[bytes] = []
        for task in ids:
            if task in read:
                found.append(read[task])
            elif task <= durable:
                found.append(fresh.pop(task))
            else:
                found.append(fresh[task])
        return found

    def read(self, digest: str, offset: int, length: int) -> tuple[int, bytes] | None:
        """See `ports.Payloads`."""
        return self._blobs.read_piece(digest, offset, length)

    def forget(self, job: int) -> None:
        """The job has ended."""
        self._fresh.pop(job, None)
        self._durable.pop(job, None)


class DurableJobs:
    """What can be done with jobs of a ledger. `handle` is that of the scheduler's service."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        reader: LedgerReader,
        payloads: LedgerPayloads,
        blobs: BlobStore,
        handle: Callable[[CoreEvent], None],
        next_number: Callable[[], int],
    ) -> None:
        self._ledger = ledger
        self._reader = reader
        self._payloads = payloads
        self._blobs = blobs
        self._handle = handle
        self._next_number = next_number
        self._held: dict[int, int] = {}
        self._sealed: set[int] = set()
        #: How many shapes a job has; the shape of its last item.
        self._shapes: dict[int, int] = {}
        self._last_shape: dict[int, int] = {}
        self._keys: dict[str, int] = {}

    def restore(self) -> list[int]:
        """Take up the jobs that have not ended; returns their numbers."""
        states = (JobState.RUNNING, JobState.CANCELLING)
        numbers: list[int] = []
        for row in self._reader.jobs(states=states):
            restored = self._reader.restore(row.job)
            self._held[row.job] = restored.held
            self._shapes[row.job] = len(restored.spec.shapes)
            self._last_shape[row.job] = restored.spans[-1][1] if restored.spans else 1
            if restored.total is not None:
                self._sealed.add(row.job)
            self._payloads.committed(row.job, restored.held)
            self._handle(restored)
            numbers.append(row.job)
        return numbers

    def submit(self, key: str, spec: dict[str, Any], then: Callable[[int], None]) -> int:
        """Open a job; `then` hears of its number when it is durable. The same key is the same job.

        Raises:
            DecodeError: the specification cannot be read.
        """
        known = self._keys.get(key) or self._reader.job_of_key(key)
        if known is not None:
            then(known)
            return known
        parsed = spec_from_wire(spec)
        job = self._next_number()
        self._keys[key] = job
        self._held[job] = 0
        self._shapes[job], self._last_shape[job] = len(parsed.shapes), 1
        op = NewJob(job, key, pack(spec), JobState.RUNNING, time.time(), parsed.name)
        self._ledger.write([op], lambda: then(job))
        self._handle(Opened(job, parsed))
        return job

    def shape(self, job: int, number: int, terms: Shape, then: Callable[[int], None]) -> None:
        """One more shape; the same number again changes nothing. `then` hears of it when durable.

        Raises:
            JobNotFound: no such job, or it has ended.
            JobRejected: the number is not the next one.
        """
        count = self._shapes.get(job)
        if count is None:
            raise JobNotFound(f"job {job} takes no shape: it is unknown or has ended", job=job)
        if not 1 <= number <= count + 1:
            raise JobRejected(f"job {job} has {count} shapes: {number} is not the next", job=job)
        if number <= count:
            then(number)
            return
        self._shapes[job] = number
        op = NewShape(job, number, pack(shape_to_wire(terms)))
        self._ledger.write([op], lambda: then(number))
        self._handle(Shaped(job, number, terms))

    def add(
        self, job: int, shape: int, first: int, args: list[bytes], then: Callable[[int], None]
    ) -> None:
        """Items `first`, …; counted only if they follow what is held. `then` hears what is held
        durably.

        Raises:
            JobNotFound: no such job, or it has ended.
            JobRejected: it was sealed, or has no such shape.
        """
        held = self._held.get(job)
        if held is None:
            raise JobNotFound(f"job {job} takes no items: it is unknown or has ended", job=job)
        if first != held + 1 or not args:
            then(held)
            return
        if job in self._sealed:
            raise JobRejected(
                f"job {job} takes no more items: it was closed with {held}, see: covey show {job}",
                job=job,
            )
        if not 1 <= shape <= self._shapes[job]:
            raise JobRejected(f"job {job} has no shape {shape}", job=job)
        kept = [
            arg if len(arg) <= INLINE_MAX_BYTES else make_reference(self._blobs.put(arg), len(arg))
            for arg in args
        ]
        last = held + len(kept)
        self._held[job] = last
        self._payloads.added(job, first, kept)

        def durable() -> None:
            self._payloads.committed(job, last)
            then(last)

        ops: list[Op] = [Items(job, first, kept)]
        if shape != self._last_shape[job]:
            self._last_shape[job] = shape
            ops.insert(0, ShapeFrom(job, first, shape))
        self._ledger.write(ops, durable)
        self._handle(Added(job, shape, first, len(kept), sum(map(len, kept)) // len(kept)))

    def seal(self, job: int, total: int, then: Callable[[int], None]) -> None:
        """No more items.

        Raises:
            JobNotFound: no such job, or it has ended.
            JobRejected: more or fewer are held than `total`.
        """
        held = self._held.get(job)
        if held is None:
            raise JobNotFound(f"job {job} cannot be sealed: it is unknown or has ended", job=job)
        if held != total:
            raise JobRejected(f"job {job} holds {held} items, not {total}", job=job)
        self._sealed.add(job)
        self._ledger.write([JobSealed(job, total)], lambda: then(total))
        self._handle(Sealed(job, total))

    def abandon(self, job: int) -> None:
        """No more items, because whoever handed them over has ended. What is there is run.

        Raises:
            JobNotFound: no such job, or it has ended.
        """
        total = self._held.get(job)
        if total is None:
            raise JobNotFound(f"job {job} is unknown or has ended", job=job)
        text = f"its client ended while handing over items: the {total} that came are all"
        self._ledger.write([Event(job, time.time(), "abandoned", text)])
        self.seal(job, total, lambda _: None)

    @property
    def unsealed(self) -> list[int]:
        """Open jobs that may get more items."""
        return [job for job in self._held if job not in self._sealed]

    def cancel(self, job: int, ids: list[int]) -> None:
        """Cancel tasks (none = the job). An ended job stays as it is."""
        if job in self._held:
            self._handle(CancelAsked(job, ids))

    def tail(self, job: int, task: int, *, on: bool) -> None:
        """Follow the output of a running task (0 = all)."""
        if job in self._held:
            self._handle(TailAsked(job, task, on))

    def ended(self, job: int) -> None:
        """The job reached its final state (from the sink)."""
        self._held.pop(job, None)
        self._sealed.discard(job)
        self._shapes.pop(job, None)
        self._last_shape.pop(job, None)
        self._payloads.forget(job)
        self._keys = {key: number for key, number in self._keys.items() if number != job}

    @property
    def open_jobs(self) -> list[int]:
        """Numbers of the jobs that have not ended."""
        return sorted(self._held)
