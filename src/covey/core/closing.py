"""Outcomes are recorded, and jobs end: of themselves, cancelled, or by their halt policy.

Cancelling is recorded before anything is stopped (protocol.md rule 21): pending tasks end at once,
running ones are asked to stop, and whatever they end as is recorded; what does not stop in time is
given up as cancelled.
"""

from dataclasses import dataclass, field

from covey.core.actions import JobEnded, Record, RecordJob, Resolve
from covey.core.binding import Binding
from covey.core.candidates import is_stranded
from covey.core.events import Confirm
from covey.core.jobs import Job
from covey.core.outbox import Outbox
from covey.core.retry import is_halting
from covey.core.roster import Roster
from covey.core.timers import Timers
from covey.model.task import OutcomeState
from covey.wire.messages import Stop, Withdraw

#: Seconds after which a task that does not stop is given up as cancelled, unconfirmed.
STOP_LIMIT_S = 10.0
#: Pending tasks cancelled per record, and per turn (a million must not hold up the loop).
CANCEL_SLICE = 2_000
CANCEL_TURN = 20_000

SUCCEEDED = int(OutcomeState.SUCCEEDED)
CANCELLED = int(OutcomeState.CANCELLED)
LOST = int(OutcomeState.LOST)


@dataclass(slots=True)
class Batch:
    """Attempts of one agent and term that ended, as parallel lists."""

    ids: list[int] = field(default_factory=list[int])
    ns: list[int] = field(default_factory=list[int])
    states: list[int] = field(default_factory=list[int])

    def add(self, task: int, n: int, state: int) -> None:
        """One more attempt."""
        self.ids.append(task)
        self.ns.append(n)
        self.states.append(state)


class Closing:
    """Ends the tasks and jobs of a scheduler."""

    def __init__(
        self,
        jobs: dict[int, Job],
        roster: Roster,
        binding: Binding,
        outbox: Outbox,
        timers: Timers,
        *,
        durable: bool,
    ) -> None:
        self._jobs = jobs
        self._roster = roster
        self._binding = binding
        self._outbox = outbox
        self._timers = timers
        self._durable = durable

    # -- what is cancelled

    def cancel_tasks(self, job: Job, tasks: list[int], now: float) -> None:
        """Cancel some tasks: waiting ones end now, running ones are stopped."""
        ended = Batch()
        orders: dict[tuple[str, int], list[tuple[int, int]]] = {}
        for task in tasks:
            lease = job.running.get(task)
            if lease is not None:
                attempt = job.attempt_of(task, lease)
                orders.setdefault((lease.agent, attempt.term), []).append((task, attempt.n))
                job.stops.setdefault(task, now + STOP_LIMIT_S)
            elif job.strike(task):
                ended.add(task, job.ns.get(task, 1) - 1, CANCELLED)
        self.stop(job, orders, now)
        if orders:
            self._timers.wake_by(("stop", job.number), now + STOP_LIMIT_S)
        if ended.ids:
            self.close(job, "", job.term, ended, now)
        self.progress(job, now)

    def strand(self, job: Job, now: float) -> None:
        """Tasks that wait for machines out of reach end as lost, if the job does not wait."""
        if not job.is_constrained or job.spec.on_lost != "fail" or not job.is_open:
            return
        for shape, pending in job.pending.items():
            terms = job.shapes[shape]
            if not pending.count or not is_stranded(self._roster, terms, now):
                continue
            agent = terms.machines[0] if len(terms.machines) == 1 else ""
            while pending.count:
                ids = pending.take(CANCEL_SLICE)
                ns = [job.ns.get(task, 1) - 1 for task in ids]
                self.close(job, agent, job.term, Batch(ids, ns, [LOST] * len(ids)), now)

    def strand_all(self, now: float) -> None:
        """Agents went out of reach: what waits for them may have to end."""
        for job in list(self._jobs.values()):
            if job.is_constrained:
                self.progress(job, now)

    def end_early(self, job: Job, event: str, reason: str, now: float) -> None:
        """Grant nothing more: somebody cancels the job, or its HaltPolicy holds.

        Args:
            job: which.
            event: `cancel` (running tasks are stopped) or `halt` (as the policy says).
            reason: for people.
            now: monotonic seconds.
        """
        if event == "halt" and not job.is_open:
            return
        is_repeated = not job.is_open and not job.is_halted
        job.moves(event)
        job.reason = reason
        job.is_halted = event == "halt"
        if is_repeated:
            return
        self._outbox.recorded(RecordJob(job.number, job.state.value, reason))
        stops = event == "cancel" or (job.spec.halt is not None and job.spec.halt.when == "now")
        if not stops:
            for name in list(job.holdings):
                self._roster.send(self._roster.peers[name], Withdraw(job.number), now)
        elif self._durable:
            self._outbox.recorded(Confirm(job.number))
        else:
            self.stop_running(job, now)
        self.drain(job, now)

    def stop_running(self, job: Job, now: float) -> None:
        """Stop all that runs of a job; what does not stop in time is given up."""
        names = {*job.holdings, *(name for runs in job.doubles.values() for name, _ in runs)}
        for name in sorted(names):
            self._roster.send(self._roster.peers[name], Stop(job.number), now)
        for task in job.running:
            job.stops.setdefault(task, now + STOP_LIMIT_S)
        if job.running:
            self._timers.wake_by(("stop", job.number), now + STOP_LIMIT_S)

    def give_up(self, job: Job, now: float) -> None:
        """Tasks that were to be stopped and did not end in time are cancelled, unconfirmed."""
        ended: dict[tuple[str, int], Batch] = {}
        for task in [task for task, limit in job.stops.items() if limit <= now]:
            if task not in job.running:
                continue
            lease = job.running[task]
            n = job.attempt_of(task, lease).n
            job.regain(task)
            ended.setdefault((lease.agent, lease.term), Batch()).add(task, n, CANCELLED)
        for (agent, term), batch in ended.items():
            self.close(job, agent, term, batch, now)
        if job.stops:
            self._timers.wake_by(("stop", job.number), min(job.stops.values()))
        self.progress(job, now)

    def drain(self, job: Job, now: float) -> None:
        """The pending tasks of a job that ends early are cancelled, some thousands a turn."""
        left = CANCEL_TURN
        for pending in job.pending.values():
            while pending.count and left > 0:
                ids = pending.take(min(CANCEL_SLICE, left))
                left -= len(ids)
                ns = [job.ns.get(task, 1) - 1 for task in ids]
                self.close(job, "", job.term, Batch(ids, ns, [CANCELLED] * len(ids)), now)
            if pending.count:
                self._timers.wake_by(("drain", job.number), now)
        self._finish(job, now)

    # -- the job as a whole

    def progress(self, job: Job, now: float) -> None:
        """Look at a job whose tasks moved: halt it, grant more, or end it."""
        halt = job.spec.halt
        counts = (job.succeeded, job.failed, job.total)
        if halt is not None and job.is_open and is_halting(halt, *counts):
            reason = f"halted: {job.failed} failed, {job.succeeded} succeeded"
            self.end_early(job, "halt", reason, now)
            return
        if job.is_open:
            self.strand(job, now)
            self._binding.supply(job, now)
        elif any(pending.count for pending in job.pending.values()):
            self.drain(job, now)
            return
        self._finish(job, now)

    def _finish(self, job: Job, now: float) -> None:
        total = job.held if job.total is None and not job.is_open else job.total
        if total is None or job.ended < total:
            return
        if job.number not in self._jobs:
            return
        job.moves(_final_event(job))
        self._outbox.recorded(RecordJob(job.number, job.state.value, job.reason))
        self._outbox.recorded(JobEnded(job.number, job.state.value))
        del self._jobs[job.number]
        self._binding.close(job, now)

    # -- one batch

    def close(self, job: Job, agent: str, term: int, batch: Batch, now: float) -> None:
        """Record outcomes of tasks that are in no other place any more."""
        if agent and batch.states.count(SUCCEEDED) == len(batch.ids):
            job.close_succeeded(batch.ids)
        else:
            for task, state in zip(batch.ids, batch.states, strict=True):
                job.close(task, state)
        self._outbox.recorded(Record(job.number, term, batch.ids, batch.ns, batch.states, agent))
        self._outbox.recorded(Resolve(job.number, batch.ids, batch.states))
        if job.doubles:
            orders: dict[tuple[str, int], list[tuple[int, int]]] = {}
            for task in batch.ids:
                for name, attempt in job.doubles.pop(task, ()):
                    orders.setdefault((name, attempt.term), []).append((task, attempt.n))
            self.stop(job, orders, now)

    def stop(
        self, job: Job, orders: dict[tuple[str, int], list[tuple[int, int]]], now: float
    ) -> None:
        """Ask agents to stop attempts: (agent, term) -> [(task, n)]."""
        for (name, term), attempts in orders.items():
            ids = [task for task, _ in attempts]
            ns = [n for _, n in attempts]
            self._roster.send(self._roster.peers[name], Stop(job.number, term, ids, ns), now)


def _final_event(job: Job) -> str:
    if not job.is_open and not job.is_halted:
        return "cancelled"
    if job.is_halted and job.spec.halt is not None and job.spec.halt.on == "success":
        return "succeeded"
    return "failed" if job.failed else "succeeded"
