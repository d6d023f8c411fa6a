"""What happens to tasks at an agent: granted, started, ended, given back, told.

Everything here goes for one `Peer` at a time; who it is and whether it lives is `core.agent`'s
matter.
"""

from typing import Any

from covey.core.actions import (
    Action,
    DropPayloads,
    DropReports,
    ForgetJob,
    Kill,
    Send,
    Start,
)
from covey.core.asking import Claim
from covey.core.events import Ended, Struck
from covey.core.peers import Peer
from covey.core.queueing import QueuePolicy
from covey.core.reservations import Bound, Taken, Work
from covey.core.serving import Serving
from covey.core.slots import ASIDE_MAX, Run, SlotTable
from covey.core.stopping import Stopping
from covey.model.task import OutcomeState
from covey.wire import messages as m

_SUCCEEDED = int(OutcomeState.SUCCEEDED)
_RETURNED = int(OutcomeState.RETURNED)
_CANCELLED = int(OutcomeState.CANCELLED)


class Workbench:
    """Tasks, slots and lines of one agent. Methods add to `out`, the actions of this event, which
    are performed in its order.
    """

    def __init__(self, slots: int, policy: QueuePolicy) -> None:
        self.slots = SlotTable(slots)
        self.policy = policy
        self.serving = Serving(self.slots, policy, self._why_barred)
        self.stopping = Stopping(self.slots, self.serving)
        self.peers: dict[str, Peer] = {}
        self.is_draining = False
        self.out: list[Action] = []

    # -- what others ask

    @property
    def room(self) -> int:
        """Slots that a scheduler may count on (its credit)."""
        return 0 if self.is_draining else self.serving.room

    @property
    def queued(self) -> int:
        """Reservations and granted tasks that wait."""
        return sum(w.queued + w.level for p in self.peers.values() for w in p.works.values())

    def transmit(self, peer: Peer, frames: list[m.Frame]) -> None:
        """Frames go to a scheduler."""
        self.out += [Send(peer.name, frame) for frame in frames]

    # -- reservations

    def describe(self, peer: Peer, message: m.Describe) -> None:
        """What tasks of a shape need; said again in each session."""
        key = message.job, message.shape
        self.policy.weigh(message.terms.user, message.weight)
        work = peer.works.get(key)
        if work is None:
            peer.works[key] = Work(
                peer.name, *key, message.terms, message.name, is_multi_get=message.is_multi_get
            )
        elif work.terms != message.terms:
            self.serving.forget(work)
            work.terms = message.terms
            self.serving.touch(work)

    def enqueue(self, peer: Peer, message: m.Enqueue, now: float) -> None:
        """Set the level of a line. A shape that was not described cannot be served."""
        work = peer.works.get((message.job, message.shape))
        if work is not None:
            if not work.level or work.is_dormant:
                work.queued_at = now
            work.is_standing = message.standing
            work.is_dormant = False
            # What takes no slot is granted and never claimed.
            may_claim = not self.is_draining and work.terms.slots > 0
            self.set_level(work, message.count if may_claim else 0)

    def set_level(self, work: Work, count: int) -> None:
        """Reservations that the line holds from now on."""
        work.level = max(0, count)
        self.serving.touch(work)

    def no_task(self, peer: Peer, message: m.NoTask, now: float) -> None:
        """A claim found nothing: it is kept as credit, or there never will be a task."""
        self.serving.claims.answered(peer.name, message.job, message.shape, now, granted=False)
        for work in self.lines(peer, message.job, message.shape):
            if message.closed:
                self.set_level(work, 0)
            else:
                work.is_dormant = work.is_standing
                self.serving.touch(work)
        if message.closed and message.shape == 0:
            self._forget_job(peer, message.job)

    def lines(self, peer: Peer, job: int, shape: int = 0) -> list[Work]:
        """The lines of a job (of one shape; 0 = all)."""
        if shape:
            work = peer.works.get((job, shape))
            return [] if work is None else [work]
        return [work for work in peer.works.values() if work.job == job]

    def _forget_job(self, peer: Peer, job: int) -> None:
        if any(work.queued or work.running for work in self.lines(peer, job)):
            # It is asked for again when the job's last attempt is stopped or ended: see
            # `_ended_all`.
            peer.closed.add(job)
            return
        peer.closed.discard(job)
        for work in self.lines(peer, job):
            self.serving.forget(work)
            del peer.works[work.job, work.shape]
        self.policy.forget(peer.name, job)
        self.out.append(ForgetJob(peer.name, job))

    # -- grants

    def grant(self, peer: Peer, message: m.Grant, now: float) -> None:
        """Tasks came: they wait in front, or go back at once if they cannot run here."""
        claim = self.serving.claims.of(peer.name, message.job, message.shape)
        claimed = (claim.queued_at, claim.at) if claim else (now, 0.0)
        self.serving.claims.answered(peer.name, message.job, message.shape, now, granted=True)
        ids, ns = peer.fresh(message)
        if not ids:
            return
        work = peer.works.get((message.job, message.shape))
        if work is None or self.is_draining or message.term != peer.term:
            self._end(peer, message.job, (message.term, ids, ns), _RETURNED)
            return
        work.is_dormant = False
        stamps = (*claimed, now) if work.terms.is_traced else None
        work.add(Bound(message.term, ids, ns, stamps))
        self.serving.touch(work)

    def give_back(self, peer: Peer, job: int, wanted: dict[int, int] | None) -> None:
        """Granted tasks that were not started return (None = all of the job)."""
        self._take_back(peer, job, wanted, 0, _RETURNED)

    def stop(self, peer: Peer, message: m.Stop) -> None:
        """Queued attempts end cancelled now, running ones are killed."""
        wanted: dict[int, int] | None = None
        if message.ids:
            ns = message.ns or [0] * len(message.ids)
            wanted = dict(zip(message.ids, ns, strict=True))
        else:
            for work in self.lines(peer, message.job):
                self.set_level(work, 0)
        self._take_back(peer, message.job, wanted, message.term, _CANCELLED)
        for run in self._runs_of(peer):
            if run.work.job != message.job or message.term not in (0, run.term):
                continue
            left = run.left()
            if wanted is not None:
                pairs = zip(left, run.ns[run.ended :], strict=True)
                left = [i for i, n in pairs if wanted.get(i, -1) in (0, n)]
            if left:
                run.is_returning = False
                self.out.append(Kill(run.slots[0], left))

    def _take_back(
        self, peer: Peer, job: int, wanted: dict[int, int] | None, term: int, state: int
    ) -> None:
        for work in self.lines(peer, job):
            if not work.queued:
                continue
            for taken in work.withdraw(wanted, term):
                self._end(peer, job, taken, state)
            self.serving.touch(work)

    def _end(self, peer: Peer, job: int, taken: Taken, state: int) -> None:
        """Attempts that never started end with `state`."""
        term, ids, ns = taken
        peer.tally((job, term), (ids, ns, [state] * len(ids)), 0.0)
        self._drop_payloads(peer, job, taken)

    # -- what runs

    def ended(self, event: Ended, now: float) -> None:
        """The next tasks of a chunk ended; maybe its slot is free again."""
        run = self.slots.runs.get(event.slot)
        if run is None:
            return
        at = run.ended
        states = list(event.states[: len(run.ids) - at])
        if event.is_last and at + len(states) < len(run.ids):
            states += [_RETURNED] * (len(run.ids) - at - len(states))
        if run.is_returning:
            states = [_RETURNED if state == _CANCELLED else state for state in states]
        run.ended += len(states)
        run.moved_at = now
        if states:
            self._settle(run, slice(at, run.ended), states, event.elapsed_s, now)
        if event.is_last:
            self.slots.release(run)
            peer = self.peers.get(run.work.scheduler)
            if peer is not None and run.work.job in peer.closed:
                self._forget_job(peer, run.work.job)

    def _settle(
        self, run: Run, part: slice, states: list[int], elapsed_s: float, now: float
    ) -> None:
        """Book outcomes of started tasks; nobody wants those of an orphan."""
        peer = self.peers.get(run.work.scheduler)
        if run.is_orphan or peer is None:
            return
        work = run.work
        ids, ns = run.ids[part], run.ns[part]
        ran = len(states) - states.count(_RETURNED) - states.count(_CANCELLED)
        if ran:
            work.pace.ended(ran, elapsed_s)
        self.policy.charge(work, elapsed_s * run.width - run.guess_s * len(states))
        may_gather = (
            work.is_multi_get and work.pace.is_short and states.count(_SUCCEEDED) == len(states)
        )
        more = work if may_gather else None
        peer.tally((work.job, run.term), (ids, ns, states), elapsed_s, now, more)
        self._drop_payloads(peer, work.job, (run.term, ids, ns))

    def _drop_payloads(self, peer: Peer, job: int, taken: Taken) -> None:
        term, ids, ns = taken
        # A newer attempt of the same task may wait here, and it has the same payload.
        ids = peer.newest(job, term, ids, ns)
        if ids:
            self.out.append(DropPayloads(peer.name, job, term, ids))

    def struck(self, event: Struck) -> None:
        """The tail of a chunk was cut off before it started: it returns."""
        run = self.slots.runs.get(event.slot)
        if run is None:
            return
        count = min(event.count, len(run.ids) - run.ended)
        if count <= 0:
            return
        ids, ns = run.ids[-count:], run.ns[-count:]
        # New lists: the Start that carried the old ones belongs to the service.
        run.ids, run.ns = run.ids[:-count], run.ns[:-count]
        peer = self.peers.get(run.work.scheduler)
        if peer is not None and not run.is_orphan:
            self.policy.charge(run.work, -run.guess_s * count)
            self._end(peer, run.work.job, (run.term, ids, ns), _RETURNED)

    def _runs_of(self, peer: Peer) -> list[Run]:
        return [
            run
            for run in self.slots.runs.values()
            if run.work.scheduler == peer.name and not run.is_orphan
        ]

    def abandon(self, peer: Peer) -> None:
        """The scheduler is gone for good: nobody wants what it gave us."""
        self.serving.drop_scheduler(peer.name)
        for work in peer.works.values():
            for term, ids, _ in work.withdraw(None):
                self.out.append(DropPayloads(peer.name, work.job, term, ids))
            self.serving.forget(work)
        for run in self._runs_of(peer):
            run.is_orphan = True
            if left := run.left():
                self.out.append(Kill(run.slots[0], left))
        self.out += [DropReports(peer.name, batch) for batch in peer.batches]
        for job in dict.fromkeys(work.job for work in peer.works.values()):
            self.policy.forget(peer.name, job)
            self.out.append(ForgetJob(peer.name, job))

    # -- the end of each event

    def serve(self, now: float) -> None:
        """Give free slots away, and tell the schedulers what ended and what is claimed."""
        self.serving.void_overdue(now)
        runs, claims = self.serving.serve(now)
        # A slot that waits goes first; a message is under way for much longer anyway.
        self.out[:0] = [_start_of(run) for run in runs]
        if self.serving.preempting:
            self.out += self.stopping.preempt()
        riders: dict[str, list[Claim]] = {}
        for claim in claims:
            riders.setdefault(claim.work.scheduler, []).append(claim)
        for peer in self.peers.values():
            if peer.has_tallies and (peer.name in riders or peer.must_tell(now)):
                self._tell(peer, riders.get(peer.name, []), now)
        for left in riders.values():
            for claim in left:
                self._claim(claim, now)

    def _why_barred(self, scheduler: str) -> str:
        """Why nothing may be claimed from a scheduler now; "" = it may."""
        if self.is_draining:
            return "this agent is draining"
        peer = self.peers.get(scheduler)
        return "" if peer is None else peer.why_not()

    def _tell(self, peer: Peer, riders: list[Claim], now: float) -> None:
        """Batches of what ended; a claim for the same job rides on the last of them."""
        batches = peer.cut(self.room)
        for batch in reversed(batches):
            claim = next((one for one in riders if one.work.job == batch.job), None)
            if claim is not None:
                batch.shape, batch.room = claim.work.shape, claim.room
                riders.remove(claim)
                break
        for batch in batches:
            self.transmit(peer, peer.link.send(batch, now))

    def _claim(self, claim: Claim, now: float) -> None:
        peer = self.peers[claim.work.scheduler]
        message = m.Claim(claim.work.job, claim.work.shape, claim.room, self.room)
        self.transmit(peer, peer.link.send(message, now))

    def explain(self) -> dict[str, Any]:
        """For `status`: what runs, what waits, and why it waits."""
        lines = [
            {
                "scheduler": work.scheduler,
                "job": work.job,
                "shape": work.shape,
                "name": work.name,
                "reservations": work.level,
                "queued": work.queued,
                "running": work.running,
                "why": self.serving.why_not(work),
            }
            for peer in self.peers.values()
            for work in peer.works.values()
            if work.level or work.queued or work.running
        ]
        return {
            "slots": self.slots.count,
            "busy": self.slots.busy,
            "aside": ASIDE_MAX - self.slots.free_aside,
            "queued": self.queued,
            "unrecorded": sum(peer.unrecorded for peer in self.peers.values()),
            "is_draining": self.is_draining,
            "lines": lines,
        }

    def check(self) -> None:
        """The laws, as assertions."""
        self.serving.check()
        for peer in self.peers.values():
            peer.check(self._runs_of(peer))


def _start_of(run: Run) -> Start:
    work = run.work
    return Start(
        slot=run.slots[0],
        scheduler=work.scheduler,
        job=work.job,
        shape=work.shape,
        terms=work.terms,
        term=run.term,
        ids=run.ids,
        ns=run.ns,
        time_limit_s=work.time_limit_s(),
        stamps=run.stamps,
    )
