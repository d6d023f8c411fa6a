"""Agents that come, fall silent, die and return; and a scheduler that was itself restarted.

The rules are 1, 4, 5 and 24 of protocol.md. What an agent holds is believed as its `Welcome`
reports it: unknown attempts are stopped, missing ones are pending again, others run on. A lost
attempt keeps its number: its task is pending, and whoever reports it first, before another grant,
has it (adoption).
"""

from covey.core.binding import Binding
from covey.core.closing import Closing
from covey.core.events import Restored
from covey.core.jobs import Job, Lease
from covey.core.outcomes import Outcomes
from covey.core.pending import undone
from covey.core.roster import ORPHAN_AFTER_S, UNREACHABLE_AFTER_S, AgentState, Peer, Roster
from covey.core.timers import Timers
from covey.model.job import JobState
from covey.model.task import Attempt
from covey.wire.messages import NoTask, Stop, Welcome

#: Seconds that a restarted scheduler waits for agents to report what they run.
RESTORE_WAIT_S = 3.0
#: Tasks above the high-water mark of the ledger that are held back as well: grants are not written,
#: and so many may have been out when the scheduler died.
RESTORE_AHEAD = 10_000
#: Longest time that a task of an unreachable agent is waited for, however long it had run.
REGRANT_AFTER_MAX_S = 600.0


class Recovery:
    """What happens to tasks when agents, or the scheduler, come and go."""

    def __init__(
        self,
        jobs: dict[int, Job],
        roster: Roster,
        binding: Binding,
        outcomes: Outcomes,
        closing: Closing,
        timers: Timers,
    ) -> None:
        self._jobs = jobs
        self._roster = roster
        self._binding = binding
        self._outcomes = outcomes
        self._closing = closing
        self._timers = timers
        self._is_restoring = False

    # -- an agent comes

    def welcome(self, peer: Peer, message: Welcome, now: float) -> None:
        """A new session: believe what the agent holds, then give it work."""
        reported = self._reported(message)
        for job in self._jobs.values():
            job.forget_doubles(peer.name, reported.get(job.number, set()))
        if peer.incarnation and peer.incarnation != message.incarnation:
            self._lose_all(peer, now, counts=True)
        self._roster.welcomed(peer, message, now)
        for job in list(self._jobs.values()):
            held = reported.get(job.number, set())
            missing = [
                task
                for task, lease in job.leases_of(peer.name)
                if (task, job.attempt_of(task, lease)) not in held
            ]
            if missing:
                self._outcomes.lose(job, missing, now, counts=False)
        for number, attempts in reported.items():
            self._believe(peer, number, sorted(attempts, key=lambda one: one[1]), now)
        if self._is_restoring and not self._is_any_joining():
            self.end_restoring(now)
        self._binding.welcome(peer, now)

    # -- an agent goes

    def gone(self, peer: Peer, reason: str, now: float) -> None:
        """The agent is known dead."""
        if peer.state not in (AgentState.READY, AgentState.UNREACHABLE):
            return
        self._roster.lose(peer, reason, now)
        self._lose_all(peer, now, counts=True)

    def left(self, peer: Peer, reason: str, now: float, *, is_forgotten: bool = False) -> None:
        """The agent left by itself, drained; or its owner took it down, whatever it was doing."""
        self._roster.leave(peer, reason, now, is_wanted=not is_forgotten)
        self._lose_all(peer, now, counts=is_forgotten)

    def judge(self, now: float) -> None:
        """Agents that were silent for too long are unreachable."""
        for peer in self._roster.judge(now):
            self._roster.silent(peer, now)
            self._timers.wake_by(("limbo", peer.name), now)

    def limbo(self, peer: Peer, now: float) -> None:
        """Grant elsewhere what an unreachable agent held for long enough; in the end it is lost."""
        if peer.state is not AgentState.UNREACHABLE or not self._roster.is_bus_up:
            return
        if now >= peer.since + ORPHAN_AFTER_S:
            self.gone(peer, f"unreachable for {ORPHAN_AFTER_S:.0f} s", now)
            return
        self._timers.wake_by(("limbo", peer.name), peer.since + ORPHAN_AFTER_S)
        for job in list(self._jobs.values()):
            if job.spec.on_lost == "wait":
                continue
            due: list[int] = []
            for task, lease in job.leases_of(peer.name):
                at = regrant_at(peer, lease)
                if at <= now:
                    due.append(task)
                else:
                    self._timers.wake_by(("limbo", peer.name), at)
            if due:
                self._outcomes.lose(job, due, now, counts=True)

    def bus_up(self, now: float) -> None:
        """Our own link is back: the clocks of those who were unreachable run again."""
        for peer in self._roster.peers.values():
            if peer.state is AgentState.UNREACHABLE:
                self._timers.wake_by(("limbo", peer.name), now)

    # -- this scheduler was restarted

    def restored(self, event: Restored, job: Job, now: float) -> None:
        """Take a job out of the ledger; what may still run somewhere is held back for a while."""
        job.held, job.total = event.held, event.total
        job.succeeded, job.failed, job.cancelled = event.succeeded, event.failed, event.cancelled
        job.starts, job.spans = dict(event.starts), event.spans
        for first, count in undone(event.done, event.held):
            doubtful = max(0, min(count, event.high_water + RESTORE_AHEAD + 1 - first))
            job.held_back.add(first, doubtful)
            job.spread(first + doubtful, count - doubtful)
        if event.is_cancelling:
            job.state = JobState.CANCELLING
        self._jobs[job.number] = job
        if not self._is_restoring:
            self._is_restoring = True
            self._timers.wake_by(("restore", ""), now + RESTORE_WAIT_S)
        self._closing.progress(job, now)

    def end_restoring(self, now: float) -> None:
        """Whoever runs something of ours has said so: grant the rest."""
        self._is_restoring = False
        self._timers.drop(("restore", ""))
        for job in list(self._jobs.values()):
            if job.held_back.count:
                job.release()
                self._closing.progress(job, now)

    # -- parts

    def _is_any_joining(self) -> bool:
        return any(p.state is AgentState.JOINING for p in self._roster.peers.values())

    def _reported(self, message: Welcome) -> dict[int, set[tuple[int, Attempt]]]:
        reported: dict[int, set[tuple[int, Attempt]]] = {}
        for number, term, ids, ns in (*message.running, *message.unrecorded):
            attempts = reported.setdefault(number, set())
            attempts.update((task, Attempt(term, n)) for task, n in zip(ids, ns, strict=True))
        return reported

    def _believe(
        self, peer: Peer, number: int, attempts: list[tuple[int, Attempt]], now: float
    ) -> None:
        job = self._jobs.get(number)
        if job is None:
            self._roster.send(peer, Stop(number), now)
            self._roster.send(peer, NoTask(number, 0, closed=True), now)
            return
        # The newest attempt of a task is the one to adopt, so it comes first.
        for task, attempt in reversed(attempts):
            self._outcomes.found(job, task, attempt, peer, now)

    def _lose_all(self, peer: Peer, now: float, *, counts: bool) -> None:
        for job in list(self._jobs.values()):
            tasks = [task for task, _ in job.leases_of(peer.name)]
            if tasks:
                self._outcomes.lose(job, tasks, now, counts=counts)


def regrant_at(peer: Peer, lease: Lease) -> float:
    """When a task of an unreachable agent may be granted elsewhere (rule 5).

    That is after as long a silence as it had run when its agent was last heard, within limits: who
    worked for minutes is waited for longer than who has just begun.
    """
    ran_s = min(peer.heard - lease.since, REGRANT_AFTER_MAX_S)
    return peer.heard + max(UNREACHABLE_AFTER_S, ran_s)
