"""Which task goes to which agent, and when (protocol.md §3).

Three ways: a task that takes no slot, or that finds credit, is granted at once (`credit`); a job
that binds late leaves reservations, and each claim of theirs is answered with a task as it comes
(`reserving`); a job whose policy binds early is placed, after probing where its policy asks
(`probing`). Which way is the job's matter: its policy, and whether it takes several tasks per
claim. Law: while a task of an open job is pending and agents are in session, one of them holds
something of ours that it will come back about, or was probed, or a deadline is set to look again.
"""

from random import Random

from covey.core.candidates import candidates, may_take
from covey.core.credit import Credit
from covey.core.granting import Granting
from covey.core.jobs import Job
from covey.core.offers import DORMANT, STANDING
from covey.core.probing import Probing
from covey.core.reserving import Reserving
from covey.core.roster import Peer, Roster
from covey.core.timers import Timers
from covey.wire.messages import Finished, Load, NoTask, Recorded, Withdraw

#: Part of the newest measurement in the mean of an agent's task time.
NEWEST_PART = 0.25
#: Seconds after a grant in which what its agent says may still be of before.
UNHEARD_MAX_S = 0.5


class Binding:
    """Grants the pending tasks of the jobs of one scheduler."""

    def __init__(self, jobs: dict[int, Job], roster: Roster, timers: Timers, rng: Random) -> None:
        self._jobs = jobs
        self._roster = roster
        self._timers = timers
        self._granting = granting = Granting(roster, timers)
        self._credit = Credit(jobs, roster, timers, granting)
        self._reserving = Reserving(roster, granting, rng)
        self._probing = Probing(jobs, roster, timers, granting, self._reserving, rng)
        #: Jobs that live on credit: whoever is idle may be given something of them.
        self._sharing: dict[int, Job] = {}

    # -- what agents ask

    def heard(self, peer: Peer, free: int) -> None:
        """The agent said how many slots it left free."""
        self._granting.heard(peer, free)
        self._roster.census.heard_busy(peer, max(0, peer.slots - free))

    def loaded(self, peer: Peer, message: Load, now: float) -> None:
        """The agent answered a probe, or tells that it leaves."""
        if message.is_leaving and peer.slots:
            peer.slots = 0
            self._roster.census.changed()
            self.refit(peer, now)
        self._roster.census.heard_busy(peer, message.busy)
        self._probing.loaded(peer, message, now)

    def ended(self, peer: Peer, message: Finished) -> None:
        """Granted tasks ended at the agent: its load, and maybe its speed, are known anew."""
        count = len(message.ids)
        peer.out -= count
        job = self._jobs.get(message.job)
        if job is not None and job.is_measuring and message.elapsed_s > 0:
            took_s = message.elapsed_s / count
            before = job.task_s.get(peer.name, took_s)
            job.task_s[peer.name] = before + (took_s - before) * NEWEST_PART

    def returned(self, peer: Peer, message: Finished, now: float) -> None:
        """What came back of it is pending again, unless somebody else has it already."""
        job = self._jobs.get(message.job)
        if job is not None and job.is_open and job.is_sharing and now >= job.next_start_at:
            self._reserving.offer_again(job, peer, now)

    def claim(self, peer: Peer, number: int, shape: int, room: int, now: float) -> None:
        """Answer a claim for up to `room` tasks: a grant, or nothing."""
        key = (number, shape)
        job = self._jobs.get(number)
        level = peer.levels.get(key, 0)
        if level > 0:
            # Each task that is asked for uses up a reservation, unless it is a standing one.
            self._roster.offers.put(peer, key, max(0, level - room))
        if job is None:
            self._roster.send(peer, NoTask(number, 0, closed=True), now)
            return
        # It may drain: its reservation was taken back while it claimed.
        may_have = shape in job.shapes and job.is_open and may_take(peer, job.shapes[shape])
        if not may_have or job.is_early:
            self._roster.offers.put(peer, key, 0)
            self._roster.send(peer, NoTask(number, shape, closed=True), now)
            return
        count = min(room, self._credit.share(job, shape, peer, now))
        if count > 0:
            self._granting.grant(job, shape, peer, count, now, is_asked=True)
            self._reserving.granted(job, shape, count, now)
            if level >= 0 and job.pending[shape].count and now >= job.next_start_at:
                self._reserving.reserve(job, shape, now)
            return
        if not job.is_sharing:
            self._found_nothing(job, shape, peer, now)
            return
        peer.parked[key] = room
        self._granting.credited[peer.name] = None
        if level == STANDING:
            self._roster.offers.put(peer, key, DORMANT)
        self._roster.send(peer, NoTask(number, shape), now)
        self._credit.call_back(job, now)

    def _found_nothing(self, job: Job, shape: int, peer: Peer, now: float) -> None:
        """One task per claim: there is none of this shape for the agent, but maybe a sibling."""
        other = self._sibling(job, shape, peer, now)
        if other:
            self._granting.grant(job, other, peer, 1, now, is_asked=True)
            self._reserving.granted(job, other, 1, now)
        self._roster.send(peer, NoTask(job.number, shape), now)
        if job.pending[shape].count:
            self._reserving.reserve(job, shape, now)

    def _sibling(self, job: Job, shape: int, peer: Peer, now: float) -> int:
        """Sharing (SOSP'13 §4.1): whoever was sampled for one task serves another that fits."""
        if not job.is_constrained or job.pending[shape].count:
            return 0
        need = job.shapes[shape].slots
        for other, terms in job.shapes.items():
            fits = terms.slots == need and may_take(peer, terms)
            if fits and self._credit.share(job, other, peer, now) > 0:
                return other
        return 0

    # -- what jobs need

    def supply(self, job: Job, now: float) -> None:
        """Bind what is pending, the way of the job."""
        if not job.is_open:
            return
        if job.has_aside:
            self._credit.aside.add(job.number)
        if job.is_sharing:
            self._sharing[job.number] = job
        for shape, pending in job.pending.items():
            if not pending.count:
                continue
            if now < job.next_start_at:
                self._timers.wake_by(("pace", job.number), job.next_start_at)
                return
            if not job.shapes[shape].slots:
                self._credit.grant_aside(job, shape, now)
            elif job.is_early:
                self._probing.place(job, shape, now)
            else:
                self._supply_late(job, shape, now)

    def _supply_late(self, job: Job, shape: int, now: float) -> None:
        if job.is_sharing:
            self._credit.grant(job, shape, now)
        if job.pending[shape].count and now >= job.next_start_at:
            self._reserving.reserve(job, shape, now)

    def supply_all(self, now: float) -> None:
        """Bind what is pending in every job: an agent came, or has nothing to do."""
        for job in self._jobs.values():
            self.supply(job, now)

    def supply_aside(self, now: float) -> None:
        """Bind what takes no slot: some of it may have ended, wherever and however."""
        for number in sorted(self._credit.aside):
            self.supply(self._jobs[number], now)

    def spend(self, peer: Peer, now: float) -> None:
        """Slots are free and the agent holds no reservation of ours: give it what is pending."""
        if not peer.free or any(level != DORMANT for level in peer.levels.values()):
            return
        for job in self._sharing.values():
            is_pending = any(pending.count for pending in job.pending.values())
            if is_pending:
                self.supply(job, now)
            if job.is_constrained or not is_pending:
                self._credit.call_back(job, now)

    def call_back(self, job: Job, now: float) -> None:
        """Ask for what is stuck behind long tasks, if another agent is idle. A task that was bound
        early stays where it was placed.
        """
        if job.number in self._sharing:
            self._credit.call_back(job, now)

    def pulse(self, peer: Peer, now: float) -> None:
        """A heartbeat tells how many slots are busy: those that are not are credit.

        A claim that found nothing held slots of which nobody speaks again before something ends
        there; with tasks that last for hours, what is pending would wait beside them.
        """
        if now >= peer.granted_at + UNHEARD_MAX_S:
            self._granting.heard(peer, max(peer.free, peer.slots - peer.busy))
            self.spend(peer, now)

    def relieve(self, peer: Peer, now: float) -> None:
        """The agent's slots are held by others too: what of ours waits there may go elsewhere."""
        self._granting.heard(peer, min(peer.free, max(0, peer.slots - peer.busy)))
        for job in self._sharing.values():
            if peer.name in job.holdings:
                self._credit.call_back(job, now)

    def probed(self, job: Job, now: float) -> None:
        """Probes were waited for long enough."""
        self._probing.look(job, now)

    # -- agents and jobs that come and go

    def welcome(self, peer: Peer, now: float) -> None:
        """A new session: forget reservations of jobs that are over, offer what is pending."""
        for number, shape in list(peer.levels):
            job = self._jobs.get(number)
            if job is None or shape not in job.shapes:
                self._roster.offers.put(peer, (number, shape), 0)
                self._roster.send(peer, NoTask(number, shape, closed=True), now)
            if job is None:
                self._roster.offers.end(number)
        self._granting.heard(peer, peer.free)
        self.drain(peer, now)

    def drain(self, peer: Peer, now: float) -> None:
        """The agent drains: what it has not begun goes to others. Or it takes work again."""
        if peer.is_draining:
            peer.parked.clear()
            for number, shape in list(peer.levels):
                self._granting.withdraw(number, shape, peer, now)
            for job in self._jobs.values():
                if peer.name in job.holdings:
                    self._roster.send(peer, Withdraw(job.number), now)
            self._granting.heard(peer, peer.free)
        self.supply_all(now)

    def refit(self, peer: Peer, now: float) -> None:
        """It leaves, or has other labels: take back what it may not claim any more."""
        for number, shape in list(peer.levels):
            job = self._jobs.get(number)
            if job is not None and not may_take(peer, job.shapes[shape]):
                self._granting.withdraw(number, shape, peer, now)
        self.supply_all(now)

    def forget(self, peers: list[Peer], now: float) -> None:
        """Their sessions are over, and so is their credit: others are asked instead."""
        for peer in peers:
            if peer.link is None:
                self._granting.credited.pop(peer.name, None)
        self._probing.forget(peers, now)
        self.supply_all(now)

    def close(self, job: Job, now: float) -> None:
        """The job is over: every agent that heard of it may forget it.

        Without cancellation, who still holds a reservation is told when it claims.
        """
        number = job.number
        self._credit.aside.discard(number)
        self._sharing.pop(number, None)
        self._probing.close(number)
        stays = not (job.is_multi_get or job.spec.has_cancellation)
        for name in self._roster.offers.end(number):
            peer = self._roster.peers[name]
            is_holding = False
            for shape in job.shapes:
                key = (number, shape)
                is_holding |= peer.levels.get(key, 0) > 0
                self._roster.offers.put(peer, key, 0)
                peer.described.pop(key, None)
                peer.parked.pop(key, None)
            self._granting.heard(peer, peer.free)
            if stays and is_holding:
                continue
            # Nothing of it is left there that a slot could be lost to: it need not wake the agent.
            is_urgent = job.is_multi_get or is_holding or name in job.holdings
            if is_urgent:
                self._roster.send(peer, NoTask(number, 0, closed=True), now)
            else:
                self._roster.send_along(peer, Recorded([], [number]), now)

    def tell(self, job: Job, peer: Peer, shape: int, now: float) -> None:
        """Describe a shape before its first mention in the session."""
        self._granting.tell(job, peer, shape, now)

    # -- laws

    def check(self) -> None:
        """Assert that nothing pending is forgotten while somebody is there to run it."""
        peers = self._roster.peers
        for name in self._granting.credited:
            assert peers[name].free > 0 or peers[name].parked, f"{name} has no credit"
        for peer in peers.values():
            assert peer.free >= 0
            assert peer.is_ready or not (peer.parked or peer.levels), "credit without a session"
            for number, _ in (*peer.parked, *peer.levels):
                assert number in self._jobs, f"{peer.name} is asked for a job that is over"
            assert not peer.is_draining or not (peer.parked or peer.levels), "it drains and holds"
            for number, shape in peer.levels:
                assert may_take(peer, self._jobs[number].shapes[shape]), f"not for {peer.name}"
        for job in self._jobs.values():
            if job.is_open and ("pace", job.number) not in self._timers:
                for shape, pending in job.pending.items():
                    if pending.count:
                        self._check_pending(job, shape)

    def _check_pending(self, job: Job, shape: int) -> None:
        terms, key = job.shapes[shape], (job.number, shape)
        ready = [self._roster.peers[name] for name in candidates(self._roster, terms)]
        pending = job.pending[shape].count
        what = f"{pending} tasks of job {job.number} wait, and nobody was asked"
        offer = self._roster.offers.of(key)
        if not terms.slots:
            assert all(self._credit.of(peer, job, shape) <= 0 for peer in ready), what
        elif not ready:
            return
        elif job.is_early:
            assert self._probing.is_asking(*key) or job.running, what
        elif not job.is_sharing:
            assert offer.held >= pending, what
        else:
            holders = {name for other in self._jobs.values() for name in other.holdings}
            assert any(
                peer.name in holders or offer.levels.get(peer.name, DORMANT) != DORMANT
                for peer in ready
            ), what
