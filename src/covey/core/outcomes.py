"""How attempts end and what that makes of their tasks and jobs (protocol.md §2 rules 4, 8; §5).

The first complete attempt of a task is its outcome; of an attempt that is not the current one only
a success is taken. Laws: a task is recorded once; an outcome is told to the client behind its
record, and to the agent (`Recorded`) only when the record is durable.
"""

from covey.core.actions import Record, RecordAttempts
from covey.core.closing import Batch, Closing
from covey.core.credit import ASIDE_PAUSE_S
from covey.core.events import Confirm
from covey.core.jobs import Job, Lease
from covey.core.outbox import Outbox
from covey.core.retry import is_poison, may_start_again
from covey.core.roster import Peer, Roster
from covey.core.timers import Timers
from covey.model.task import Attempt, OutcomeState
from covey.wire.messages import Finished, Recorded

#: Seconds that `Recorded` waits for more batches to acknowledge (in memory: nothing else waits).
CONFIRM_DELAY_S = 0.005
#: Batches that are acknowledged without waiting.
CONFIRM_MAX = 64

SUCCEEDED = int(OutcomeState.SUCCEEDED)
CANCELLED = int(OutcomeState.CANCELLED)
RETURNED = int(OutcomeState.RETURNED)
LOST = int(OutcomeState.LOST)


class Outcomes:
    """Takes what ended, for all jobs of a scheduler."""

    def __init__(
        self,
        jobs: dict[int, Job],
        roster: Roster,
        closing: Closing,
        outbox: Outbox,
        timers: Timers,
        *,
        durable: bool,
    ) -> None:
        self._jobs = jobs
        self._roster = roster
        self._closing = closing
        self._outbox = outbox
        self._timers = timers
        self._durable = durable

    # -- what agents report

    def finished(self, peer: Peer, message: Finished, now: float) -> None:
        """Take a batch of ended attempts, and acknowledge it when that is durable."""
        job = self._jobs.get(message.job)
        is_recorded = False
        if job is not None:
            if self._all_succeeded(job, peer, message):
                ended = Batch(message.ids, message.ns, message.states)
                self._closing.close(job, peer.name, message.term, ended, now)
                is_recorded = True
            else:
                is_recorded = self._settle(job, peer, message, now)
            self._closing.progress(job, now)
        self._acknowledge(peer, job, message, is_recorded, now)

    def confirmed(self, what: Confirm, now: float) -> None:
        """What stood before this is durable."""
        peer = self._roster.peers.get(what.agent)
        job = self._jobs.get(what.job)
        if peer is not None and peer.link is not None and peer.link.session == what.session:
            self._tell_recorded(peer, job, what.batch, now)
        if not what.agent and job is not None:
            self._closing.stop_running(job, now)

    def flush(self, peer: Peer, now: float) -> None:
        """Tell the agent which batches it may forget."""
        if peer.recorded:
            batches, peer.recorded = peer.recorded, []
            self._roster.send(peer, Recorded(batches), now)

    # -- what is lost

    def lose(self, job: Job, tasks: list[int], now: float, *, counts: bool) -> None:
        """Attempts are gone with their agent: the tasks are pending again, unless they are poison.

        Args:
            job: whose tasks they are.
            tasks: running tasks.
            now: monotonic seconds.
            counts: against `crash_limit`; False = they were never started, or given back.
        """
        ended: dict[tuple[str, int], Batch] = {}
        for task in tasks:
            lease = job.running[task]
            state = self._state_if_lost(job, task, counts)
            n = job.attempt_of(task, lease).n
            job.regain(task)
            if state:
                ended.setdefault((lease.agent, lease.term), Batch()).add(task, n, state)
            else:
                self._want_again(job, task, lease, now)
        for (agent, term), batch in ended.items():
            self._closing.close(job, agent, term, batch, now)
        self._closing.progress(job, now)

    def found(self, job: Job, task: int, attempt: Attempt, peer: Peer, now: float) -> None:
        """An agent reports an attempt that it holds (running, or ended and to be told)."""
        lease = job.running.get(task)
        if lease is not None:
            is_current = lease.agent == peer.name and job.attempt_of(task, lease) == attempt
            if not is_current:
                others = job.doubles.setdefault(task, [])
                if (peer.name, attempt) not in others:
                    others.append((peer.name, attempt))
        elif not job.adopt(task, attempt, peer.name, now):
            self._closing.stop(job, {(peer.name, attempt.term): [(task, attempt.n)]}, now)
            return
        elif job.starts_lost.get(task):
            # It was not lost after all.
            job.starts_lost[task] -= 1
        if task in job.stops or (not job.is_open and not job.is_halted):
            self._closing.stop(job, {(peer.name, attempt.term): [(task, attempt.n)]}, now)

    # -- one batch

    def _all_succeeded(self, job: Job, peer: Peer, message: Finished) -> bool:
        """The common case, at the speed of C: current attempts, all n = 1, all succeeded."""
        ids, count = message.ids, len(message.ids)
        if job.ns or job.doubles or message.states.count(SUCCEEDED) != count:
            return False
        if message.ns.count(1) != count or len(set(ids)) != count:
            return False
        running = job.running
        found = list(map(running.get, ids))
        leases = {id(lease): lease for lease in found if lease is not None}
        for lease in leases.values():
            if lease.agent != peer.name or lease.term != message.term or lease.ns is not None:
                return False
        if None in found:
            return False
        for task in ids:
            del running[task]
        for lease in leases.values():
            job.reduce(lease, count if len(leases) == 1 else found.count(lease))
        return True

    def _settle(self, job: Job, peer: Peer, message: Finished, now: float) -> bool:
        """Any other batch, attempt by attempt; returns whether a barrier was set."""
        ended, again = Batch(), Batch()
        wanted: list[tuple[int, Lease]] = []
        for task, n, state in zip(message.ids, message.ns, message.states, strict=True):
            lease = job.running.get(task)
            attempt = Attempt(message.term, n)
            is_current = (
                lease is not None
                and lease.agent == peer.name
                and job.attempt_of(task, lease) == attempt
            )
            if lease is None or not is_current:
                if self._take_late(job, task, attempt, state, peer):
                    ended.add(task, n, state)
                continue
            verdict = self._verdict(job, task, state)
            job.regain(task)
            if verdict == RETURNED:
                wanted.append((task, lease))
                if state == RETURNED:
                    self._note_return(job, lease, now)
                elif state != CANCELLED:
                    again.add(task, n, state)
            else:
                ended.add(task, n, verdict)
        for task, lease in wanted:
            self._want_again(job, task, lease, now)
        if again.ids:
            record = RecordAttempts(
                job.number, message.term, again.ids, again.ns, again.states, peer.name
            )
            self._outbox.recorded(record)
        if ended.ids:
            self._closing.close(job, peer.name, message.term, ended, now)
        return bool(again.ids or ended.ids)

    def _note_return(self, job: Job, lease: Lease, now: float) -> None:
        job.returned += 1
        if not job.shapes[lease.shape].slots:
            self._timers.wake_by(("aside", lease.agent), now + ASIDE_PAUSE_S)

    def _take_late(self, job: Job, task: int, attempt: Attempt, state: int, peer: Peer) -> bool:
        """An attempt that is not the current one ended: only a success counts, and only once."""
        others = job.doubles.get(task)
        if others and (peer.name, attempt) in others:
            others.remove((peer.name, attempt))
            if not others:
                del job.doubles[task]
        if state != SUCCEEDED:
            return False
        lease = job.running.get(task)
        if lease is None:
            return job.strike(task)
        newer = (lease.agent, job.attempt_of(task, lease))
        job.doubles.setdefault(task, []).append(newer)
        job.regain(task)
        return True

    def _verdict(self, job: Job, task: int, state: int) -> int:
        """What the end of the current attempt makes of its task; RETURNED = pending again."""
        is_unwanted = not job.is_open or task in job.stops
        if state == SUCCEEDED:
            return state
        if state in (RETURNED, CANCELLED):
            # Cancelled though nobody asks for it any more: the word of an earlier term.
            return CANCELLED if is_unwanted else RETURNED
        spent = job.starts[task] = job.starts.get(task, 0) + 1
        if not is_unwanted and may_start_again(job.spec.retry, state, spent):
            return RETURNED
        return state

    def _state_if_lost(self, job: Job, task: int, counts: bool) -> int:
        """The state in which a task ends when its agent is lost; 0 = it is pending again."""
        if not job.is_open or task in job.stops:
            return CANCELLED
        if not counts:
            return 0
        lost = job.starts_lost[task] = job.starts_lost.get(task, 0) + 1
        if job.spec.on_lost == "fail" or is_poison(job.spec.retry, lost):
            return LOST
        return 0

    def _want_again(self, job: Job, task: int, lease: Lease, now: float) -> None:
        """Pending again, or what an older attempt, that still runs, makes of it."""
        job.put_back(task, lease)
        others = job.doubles.get(task)
        while others:
            agent, attempt = others.pop(0)
            if not others:
                job.doubles.pop(task, None)
            if self._roster.peers[agent].is_ready:
                job.adopt(task, attempt, agent, now)
                return

    def _acknowledge(
        self, peer: Peer, job: Job | None, message: Finished, is_recorded: bool, now: float
    ) -> None:
        if not self._durable:
            self._tell_recorded(peer, job, message.batch, now)
            return
        if not is_recorded:
            self._outbox.recorded(Record(message.job, message.term, [], [], [], peer.name))
        session = peer.link.session if peer.link else b""
        self._outbox.recorded(Confirm(message.job, peer.name, session, message.batch))

    def _tell_recorded(self, peer: Peer, job: Job | None, batch: int, now: float) -> None:
        if job is not None and not job.is_multi_get:
            # Its agents are woken for every single task: they need not be for this.
            self._roster.send_along(peer, Recorded([batch]), now)
            return
        peer.recorded.append(batch)
        if len(peer.recorded) >= CONFIRM_MAX:
            self.flush(peer, now)
        elif len(peer.recorded) == 1:
            self._timers.wake_by(("flush", peer.name), now + CONFIRM_DELAY_S)
