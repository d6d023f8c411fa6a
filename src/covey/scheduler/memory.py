"""Jobs that live in memory and belong to clients elsewhere: what a shared scheduler keeps.

The same face as `scheduler.durable.DurableJobs`. An outcome is kept until the client that watches
the job says that it has it. A job goes with its client: one that is dead or silent for long has its
tasks stopped.
"""

import itertools
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from covey.core.events import Added, CancelAsked, Opened, Sealed, Shaped, TailAsked
from covey.core.events import Event as CoreEvent
from covey.errors import JobNotFound, JobRejected
from covey.files.memory_blobs import MemoryBlobs
from covey.model.job import Shape
from covey.model.reference import is_reference, make_reference, read_reference
from covey.scheduler.admission import Admission
from covey.settings import INLINE_MAX_BYTES, MESSAGE_MAX_BYTES
from covey.wire.codec import spec_from_wire
from covey.wire.messages import Advanced

#: A client that says nothing for so long has lost its job. (One that holds the interpreter's lock
#: that long must not lose its tasks: protocol.md rule 6.)
CLIENT_SILENT_MAX_S = 30.0
#: A client on whose subject nobody listens has so long to connect again.
CLIENT_GONE_MAX_S = 2.0
#: A client that was silent for so long is spoken to, so that the server says whether it is there.
POKE_AFTER_S = 3.0
#: Outcomes, and bytes of them, that are on their way to a client at once.
WINDOW_OUTCOMES = 4096
WINDOW_BYTES = 4 * 1024 * 1024
#: In one message.
BATCH_OUTCOMES = 1000
BATCH_BYTES = MESSAGE_MAX_BYTES // 2
#: Outcomes that were sent so long ago and did not come are sent again, when the client asks.
RESEND_AFTER_S = 0.25


@dataclass(slots=True)
class _Outcome:
    task: int
    state: int
    report: bytes


@dataclass(slots=True)
class _Job:
    number: int
    key: str
    heard_at: float
    #: Who watches it ("" = nobody yet).
    client: str = ""
    held: int = 0
    shapes: int = 0
    is_sealed: bool = False
    has_ended: bool = False
    payloads: dict[int, bytes] = field(default_factory=dict[int, bytes])
    contexts: list[str] = field(default_factory=list[str])
    #: Outcomes that the client does not have for sure; the first one is number `acked` + 1.
    outcomes: deque[_Outcome] = field(default_factory=deque[_Outcome])
    acked: int = 0
    sent: int = 0
    sent_bytes: int = 0
    sent_at: float = 0.0
    #: When the server said that nobody listens at its client.
    gone_at: float | None = None


class MemoryJobs:
    """Implements `ports.Jobs` and `ports.Payloads`. One event loop."""

    def __init__(
        self,
        *,
        handle: Callable[[CoreEvent], None],
        tell: Callable[[str, Advanced], None],
        running: Callable[[int], int],
        blobs: MemoryBlobs,
        admission: Admission,
    ) -> None:
        """No jobs yet.

        Args:
            handle: that of the scheduler's service.
            tell: says something to a client.
            running: how many tasks of a job run.
            blobs: contexts, large arguments, large reports.
            admission: which jobs and shapes are accepted.
        """
        self._handle = handle
        self._tell = tell
        self._running = running
        self.blobs = blobs
        self._admission = admission
        self._jobs: dict[int, _Job] = {}
        self._keys: dict[str, int] = {}
        self._numbers = itertools.count(1)
        #: Jobs since the start.
        self.submitted = 0

    @property
    def open(self) -> int:
        """Jobs of clients that are there."""
        return len(self._jobs)

    # ------------------------------------------------------------ ports.Jobs

    def submit(self, key: str, spec: dict[str, Any], then: Callable[[int], None]) -> int:
        """A new job, or the one that was submitted with this key.

        Raises:
            DecodeError: it is no job specification.
            JobRejected: it is not accepted (`scheduler.admission`).
            BlobMissing: a context was not put here before.
        """
        number = self._keys.get(key)
        if number is None:
            read = self._admission.job(spec_from_wire(spec))
            # Before anything is kept: what is refused leaves no half of a job behind.
            for shape in read.shapes:
                if shape.context:
                    self.blobs.check(shape.context)
            number = self.submitted = next(self._numbers)
            job = _Job(number, key, time.monotonic(), shapes=len(read.shapes))
            self._jobs[number] = job
            self._keys[key] = number
            for shape in read.shapes:
                self._hold_context(job, shape)
            self._handle(Opened(number, read))
        then(number)
        return number

    def shape(self, job: int, number: int, terms: Shape, then: Callable[[int], None]) -> None:
        """One more shape; the same number again changes nothing.

        Raises:
            JobNotFound: no such job.
            JobRejected: the number is not the next one, or the shape is not accepted.
            BlobMissing: its context was not put here before.
        """
        known = self._known(job)
        if not 1 <= number <= known.shapes + 1:
            raise JobRejected(f"job {job} has {known.shapes} shapes: {number} is not the next")
        if number > known.shapes:
            terms = self._admission.shape(terms)
            self._hold_context(known, terms)
            known.shapes = number
            self._handle(Shaped(job, number, terms))
        then(number)

    def add(
        self, job: int, shape: int, first: int, args: list[bytes], then: Callable[[int], None]
    ) -> None:
        """Items `first`, …; counted only if they follow what is held.

        Raises:
            JobNotFound: no such job.
            JobRejected: it was sealed, or has no such shape.
            BlobMissing: a large item was not put here before.
        """
        known = self._known(job)
        if first == known.held + 1 and args:
            if known.is_sealed or not 1 <= shape <= known.shapes:
                raise JobRejected(f"job {job} takes no items of shape {shape}")
            digests = [read_reference(piece)[0] for piece in args if is_reference(piece)]
            for digest in digests:
                self.blobs.check(digest)
            for digest in digests:
                self.blobs.hold(digest)
            known.held += len(args)
            known.payloads.update(enumerate(args, first))
            mean = sum(map(len, args)) // len(args)
            self._handle(Added(job, shape, first, len(args), mean))
        then(known.held)

    def seal(self, job: int, total: int, then: Callable[[int], None]) -> None:
        """No more items.

        Raises:
            JobNotFound: no such job.
            JobRejected: more or fewer are held than `total`.
        """
        known = self._known(job)
        if known.held != total:
            raise JobRejected(f"job {job} holds {known.held} items, not {total}", job=job)
        known.is_sealed = True
        self._handle(Sealed(job, total))
        then(total)

    def cancel(self, job: int, ids: list[int]) -> None:
        """Cancel tasks (none = the job, which is then forgotten)."""
        known = self._jobs.get(job)
        if known is None:
            return
        if ids:
            self._handle(CancelAsked(job, ids))
        else:
            self._abandon(known)

    def tail(self, job: int, task: int, *, on: bool) -> None:
        """Follow the output of a running task (0 = all)."""
        if job in self._jobs:
            self._handle(TailAsked(job, task, on))

    # ------------------------------------------------------------ ports.Payloads

    def take(self, job: int, ids: list[int]) -> list[bytes]:
        """See `ports.Payloads`. Of a job that was just given up there is nothing left."""
        known = self._jobs.get(job)
        return [known.payloads.get(task, b"") if known is not None else b"" for task in ids]

    def read(self, digest: str, offset: int, length: int) -> tuple[int, bytes] | None:
        """See `ports.Payloads`."""
        return self.blobs.read_piece(digest, offset, length)

    # ------------------------------------------------------------ outcomes

    def resolved(
        self, job: int, ids: list[int], states: list[int], reports: list[bytes | None]
    ) -> None:
        """From the sink: these tasks have ended."""
        known = self._jobs.get(job)
        if known is None:
            return
        for task, state, report in zip(ids, states, reports, strict=True):
            payload = known.payloads.pop(task, b"")
            if is_reference(payload):
                self.blobs.release(read_reference(payload)[0])
            known.outcomes.append(_Outcome(task, state, self._kept(report or b"")))
        self._push(known)

    def ended(self, job: int) -> None:
        """From the sink: the job reached its final state."""
        known = self._jobs.get(job)
        if known is not None:
            known.has_ended = True
            self._forget_if_done(known)

    def watched(self, client: str, job: int, after_seq: int) -> dict[str, Any]:
        """A client has the outcomes up to `after_seq` and wants those behind.

        Raises:
            JobNotFound: no such job (any more).
        """
        known = self._known(job)
        now = time.monotonic()
        known.client, known.heard_at, known.gone_at = client, now, None
        self._acknowledge(known, after_seq)
        if known.sent > known.acked and now - known.sent_at > RESEND_AFTER_S:
            known.sent, known.sent_bytes = known.acked, 0
        self._push(known)
        answer = {"job": job, "running": self._running(job), "seq": known.acked}
        self._forget_if_done(known)
        return answer

    # ------------------------------------------------------------ clients

    def client_gone(self, client: str) -> None:
        """The server says that nobody listens there."""
        for job in self._jobs.values():
            if job.client == client and job.gone_at is None:
                job.gone_at = time.monotonic()

    def look(self) -> None:
        """Stop the jobs of clients that are gone. Called about each second."""
        now = time.monotonic()
        for job in list(self._jobs.values()):
            silent_s = now - job.heard_at
            is_gone = job.gone_at is not None and now - job.gone_at > CLIENT_GONE_MAX_S
            if is_gone or silent_s > CLIENT_SILENT_MAX_S:
                self._abandon(job)
            elif silent_s > POKE_AFTER_S and job.client:
                self._tell(job.client, Advanced(job.number, job.acked, ""))
        self.blobs.drop_unused(now)

    # ------------------------------------------------------------ inside

    def _known(self, job: int) -> _Job:
        known = self._jobs.get(job)
        if known is None:
            raise JobNotFound(
                f"job {job} is not known to this scheduler: it was started anew, or did not hear of"
                " its client for long",
                job=job,
            )
        return known

    def _hold_context(self, job: _Job, terms: Shape) -> None:
        if terms.context:
            self.blobs.hold(terms.context)
            job.contexts.append(terms.context)

    def _kept(self, report: bytes) -> bytes:
        """A large report is asked for by its digest, piece by piece."""
        if len(report) <= INLINE_MAX_BYTES:
            return report
        digest = self.blobs.put(report)
        self.blobs.hold(digest)
        return make_reference(digest, len(report))

    def _acknowledge(self, job: _Job, seq: int) -> None:
        while job.acked < min(seq, job.sent):
            job.acked += 1
            report = job.outcomes.popleft().report
            job.sent_bytes -= len(report)
            if is_reference(report):
                self.blobs.release(read_reference(report)[0])

    def _push(self, job: _Job) -> None:
        """Send what the window has room for."""
        if not job.client:
            return
        while len(job.outcomes) > job.sent - job.acked:
            if job.sent - job.acked >= WINDOW_OUTCOMES or job.sent_bytes >= WINDOW_BYTES:
                return
            begin = job.sent - job.acked
            batch: list[_Outcome] = []
            size_bytes = 0
            for one in itertools.islice(job.outcomes, begin, begin + BATCH_OUTCOMES):
                if batch and size_bytes + len(one.report) > BATCH_BYTES:
                    break
                batch.append(one)
                size_bytes += len(one.report)
            job.sent += len(batch)
            job.sent_bytes += size_bytes
            job.sent_at = time.monotonic()
            self._tell(job.client, _advanced(job, batch))

    def _abandon(self, job: _Job) -> None:
        """Nobody wants its outcomes: what runs is stopped."""
        self._forget(job)
        if not job.has_ended:
            self._handle(CancelAsked(job.number))

    def _forget_if_done(self, job: _Job) -> None:
        if job.has_ended and not job.outcomes:
            self._forget(job)

    def _forget(self, job: _Job) -> None:
        if self._jobs.pop(job.number, None) is None:
            return
        del self._keys[job.key]
        held = [*job.payloads.values(), *(one.report for one in job.outcomes)]
        digests = [read_reference(piece)[0] for piece in held if is_reference(piece)]
        for digest in [*job.contexts, *digests]:
            self.blobs.release(digest)


def _advanced(job: _Job, batch: list[_Outcome]) -> Advanced:
    return Advanced(
        job.number,
        job.sent,
        "",
        [one.task for one in batch],
        [one.state for one in batch],
        [len(one.report) for one in batch],
        b"".join(one.report for one in batch),
    )
