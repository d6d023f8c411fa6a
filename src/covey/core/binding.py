"""Which task goes to which agent, and when: credit, claims, reservations (protocol.md §3).

A task that arrives while an agent has slots free, or a claim that found nothing, is granted at
once (early bound). Otherwise agents get reservations, and each claim of theirs is answered with a
task as it comes (late bound). A task that takes no slot is granted as soon as less than ASIDE_MAX
of them are out at its agent. Law: while a task of an open job is pending and agents are in
session, one of them holds something of ours that it will come back about, or a deadline is set to
look again.
"""

from collections.abc import Iterator
from random import Random

from covey.core.candidates import candidates, may_take
from covey.core.jobs import Job
from covey.core.placement import PlacementPolicy
from covey.core.roster import Peer, Roster
from covey.core.slots import ASIDE_MAX
from covey.core.timers import Timers
from covey.model.job import Shape
from covey.settings import MESSAGE_MAX_BYTES
from covey.wire.messages import Describe, Enqueue, Grant, NoTask, Tail, Withdraw

#: Tasks in one grant.
GRANT_MAX = 256
#: Seconds after which granted tasks that were not started are asked back, when another agent asks.
UNSTARTED_MAX_S = 0.05
#: An agent that gives back what takes no slot (it leaves, or cannot start it) gets no more of it
#: for so long.
ASIDE_PAUSE_S = 1.0
#: Level of a standing reservation in `Peer.levels`; and of one whose claim found nothing: it makes
#: no more claims until something is granted or enqueued there.
STANDING = -1
DORMANT = -2


class Binding:
    """Grants the pending tasks of the jobs of one scheduler."""

    def __init__(
        self,
        jobs: dict[int, Job],
        roster: Roster,
        timers: Timers,
        policy: PlacementPolicy,
        rng: Random,
    ) -> None:
        self._jobs = jobs
        self._roster = roster
        self._timers = timers
        self._policy = policy
        self._rng = rng
        #: Agents that have credit, longest unused first.
        self._credited: dict[str, None] = {}
        #: Jobs with tasks that take no slot.
        self._aside: set[int] = set()

    # -- what agents ask

    def heard(self, peer: Peer, free: int) -> None:
        """The agent said how many slots it left free."""
        peer.free = free
        if peer.is_ready and (free > 0 or peer.parked):
            self._credited[peer.name] = None
        else:
            self._credited.pop(peer.name, None)

    def claim(self, peer: Peer, number: int, shape: int, room: int, now: float) -> None:
        """Answer a claim for up to `room` tasks: a grant, or nothing."""
        key = (number, shape)
        job = self._jobs.get(number)
        level = peer.levels.get(key, 0)
        if level > 0:
            # Each task that is asked for uses up a reservation, unless it is a standing one.
            peer.levels[key] = max(0, level - room)
        if job is None or shape not in job.shapes or not job.is_open:
            peer.levels.pop(key, None)
            self._roster.send(peer, NoTask(number, shape, closed=True), now)
            return
        if not may_take(peer, job.shapes[shape]):
            # It drains: its reservation was taken back while it claimed.
            self._roster.send(peer, NoTask(number, shape, closed=True), now)
            return
        count = min(room, self._share(job, shape, peer, now))
        if count > 0:
            self._grant(job, shape, peer, count, now)
            if level >= 0 and job.pending[shape].count and now >= job.next_start_at:
                self._reserve(job, shape, now)
            return
        peer.parked[key] = room
        self._credited[peer.name] = None
        if level == STANDING:
            peer.levels[key] = DORMANT
        self._roster.send(peer, NoTask(number, shape), now)
        self.call_back(job, now)

    # -- what jobs need

    def supply(self, job: Job, now: float) -> None:
        """Bind what is pending: on credit as far as that goes, then by reservations."""
        if not job.is_open:
            return
        if job.has_aside:
            self._aside.add(job.number)
        for shape, pending in job.pending.items():
            if not pending.count:
                continue
            if now < job.next_start_at:
                self._timers.wake_by(("pace", job.number), job.next_start_at)
                return
            if job.shapes[shape].slots:
                self._grant_on_credit(job, shape, now)
            else:
                self._grant_aside(job, shape, now)

    def supply_all(self, now: float) -> None:
        """Bind what is pending in every job: an agent came, or has nothing to do."""
        for job in self._jobs.values():
            self.supply(job, now)

    def supply_aside(self, now: float) -> None:
        """Bind what takes no slot: some of it may have ended, wherever and however."""
        for number in sorted(self._aside):
            self.supply(self._jobs[number], now)

    def spend(self, peer: Peer, now: float) -> None:
        """Slots are free and the agent holds no reservation of ours: give it what is pending."""
        if not peer.free or any(level != DORMANT for level in peer.levels.values()):
            return
        for job in self._jobs.values():
            is_pending = any(pending.count for pending in job.pending.values())
            if is_pending:
                self.supply(job, now)
            if job.has_pins or not is_pending:
                self.call_back(job, now)

    def call_back(self, job: Job, now: float) -> None:
        """Nothing is pending and an agent asks: others shall return what they do not get to."""
        if len(job.holdings) == 0 or not job.is_open:
            return
        peers = [self._roster.peers[name] for name in self._credited]
        idle = [peer.name for peer in peers if peer.is_ready and not peer.is_draining]
        if any(
            pending.count and any(_fits(job, shape, name) for name in idle)
            for shape, pending in job.pending.items()
        ):
            return
        for name in list(job.holdings):
            peer = self._roster.peers[name]
            if not peer.is_ready or idle in ([], [name]):
                continue
            look_at = _stuck_since(job, peer, idle)
            if look_at is None:
                continue
            if look_at <= now:
                for lease in job.holdings[name].leases:
                    lease.is_withdrawn = lease.since + UNSTARTED_MAX_S <= now
                self._roster.send(peer, Withdraw(job.number), now)
            else:
                self._timers.wake_by(("tail", job.number), look_at)

    def welcome(self, peer: Peer, now: float) -> None:
        """A new session: forget reservations of jobs that are over, offer what is pending."""
        for number, shape in list(peer.levels):
            job = self._jobs.get(number)
            if job is None or shape not in job.shapes:
                del peer.levels[number, shape]
                self._roster.send(peer, NoTask(number, shape, closed=True), now)
        self.heard(peer, peer.free)
        self.drain(peer, now)

    def drain(self, peer: Peer, now: float) -> None:
        """The agent drains: what it has not begun goes to others. Or it takes work again."""
        if peer.is_draining:
            peer.parked.clear()
            for number, shape in list(peer.levels):
                del peer.levels[number, shape]
                self._roster.send(peer, Enqueue(number, shape, 0, standing=False), now)
            for job in self._jobs.values():
                if peer.name in job.holdings:
                    self._roster.send(peer, Withdraw(job.number), now)
            self.heard(peer, peer.free)
        self.supply_all(now)

    def forget(self, peers: list[Peer], now: float) -> None:
        """Their sessions are over, and so is their credit: others are asked instead."""
        for peer in peers:
            self._credited.pop(peer.name, None)
        self.supply_all(now)

    def close(self, number: int, now: float) -> None:
        """The job is over: every agent that heard of it may forget it."""
        self._aside.discard(number)
        for peer in self._roster.peers.values():
            heard_of = [key for key in peer.described if key[0] == number]
            for kept in (peer.described, peer.parked, peer.levels):
                for key in [key for key in kept if key[0] == number]:
                    del kept[key]
            self.heard(peer, peer.free)
            if heard_of:
                self._roster.send(peer, NoTask(number, 0, closed=True), now)

    def tell(self, job: Job, peer: Peer, shape: int, now: float) -> None:
        """Describe a shape before its first mention in the session."""
        if (job.number, shape) not in peer.described:
            name = job.spec.name or str(job.number)
            terms = Describe(job.number, shape, job.shapes[shape], name)
            self._roster.describe(peer, terms, 0 in job.tails, now)

    # -- how it is bound

    def _grant(self, job: Job, shape: int, peer: Peer, count: int, now: float) -> None:
        ids, ns = job.take(shape, count, peer.name, now)
        self.tell(job, peer, shape, now)
        self._roster.send(peer, Grant(job.number, shape, job.term, ids, ns), now)
        key = (job.number, shape)
        peer.parked.pop(key, None)
        if peer.levels.get(key) == DORMANT:
            peer.levels[key] = STANDING
        self._credited.pop(peer.name, None)
        self.heard(peer, max(0, peer.free - len(ids) * job.shapes[shape].slots))
        if job.spec.start_delay_s:
            job.next_start_at = now + job.spec.start_delay_s
            if job.pending[shape].count:
                self._timers.wake_by(("pace", job.number), job.next_start_at)
        for task in job.tails:
            if task and job.running.get(task) is not None and task in ids:
                self._roster.send(peer, Tail(job.number, task, True), now)

    def _grant_on_credit(self, job: Job, shape: int, now: float) -> None:
        """Grant to who has a free slot or asked; for the rest, reservations."""
        pending = job.pending[shape]
        for peer in self._creditors(job, shape):
            count = min(self._credit_of(peer, job, shape), self._share(job, shape, peer, now))
            if count > 0:
                self._grant(job, shape, peer, count, now)
            if not pending.count or now < job.next_start_at:
                break
        if pending.count and now >= job.next_start_at:
            self._reserve(job, shape, now)

    def _grant_aside(self, job: Job, shape: int, now: float) -> None:
        """Grant what takes no slot, evenly, as far as there are places for it."""
        pending = job.pending[shape]
        peers = [self._roster.peers[name] for name in candidates(self._roster, job.shapes[shape])]
        while pending.count and now >= job.next_start_at:
            peers = [peer for peer in peers if self._credit_of(peer, job, shape) > 0]
            if not peers:
                return
            share = 1 if job.spec.start_delay_s else -(-pending.count // len(peers))
            for peer in peers:
                count = min(self._credit_of(peer, job, shape), share, pending.count)
                if count > 0 and now >= job.next_start_at:
                    self._grant(job, shape, peer, count, now)

    def _reserve(self, job: Job, shape: int, now: float) -> None:
        """Leave reservations: a standing one everywhere if there is more than room; else some."""
        terms = job.shapes[shape]
        ready = candidates(self._roster, terms)
        pending = job.pending[shape].count
        if not ready:
            return
        key = (job.number, shape)
        peers = [self._roster.peers[name] for name in ready]
        if pending >= self._slots(terms, ready):
            for peer in peers:
                if peer.levels.get(key) != STANDING:
                    self._enqueue(job, shape, peer, STANDING, now)
            return
        levels = [peer.levels.get(key, 0) for peer in peers if peer.levels.get(key) != DORMANT]
        if STANDING in levels or sum(levels) >= pending:
            return
        missing = pending - sum(levels)
        groups = self._policy.sample(missing, ready, self._rng)
        counts: dict[str, int] = {}
        for agent, task in self._policy.place(missing, groups, {}):
            if task is None:
                counts[agent] = counts.get(agent, 0) + 1
            else:
                self._grant(job, shape, self._roster.peers[agent], 1, now)
        for agent, count in counts.items():
            peer = self._roster.peers[agent]
            self._enqueue(job, shape, peer, max(0, peer.levels.get(key, 0)) + count, now)

    def _enqueue(self, job: Job, shape: int, peer: Peer, level: int, now: float) -> None:
        self.tell(job, peer, shape, now)
        peer.levels[job.number, shape] = level
        order = Enqueue(job.number, shape, abs(level), standing=level == STANDING)
        self._roster.send(peer, order, now)

    def check(self) -> None:
        """Assert that nothing pending is forgotten while somebody is there to run it."""
        for name in self._credited:
            peer = self._roster.peers[name]
            assert peer.free > 0 or peer.parked, f"{name} has no credit"
        for peer in self._roster.peers.values():
            assert peer.free >= 0
            assert peer.is_ready or not (peer.parked or peer.levels), "credit without a session"
            for number, _ in (*peer.parked, *peer.levels):
                assert number in self._jobs, f"{peer.name} is asked for a job that is over"
            assert not peer.is_draining or not (peer.parked or peer.levels), "it drains and holds"
        holders = {name for job in self._jobs.values() for name in job.holdings}
        for job in self._jobs.values():
            for shape, pending in job.pending.items():
                if not pending.count or not job.is_open or ("pace", job.number) in self._timers:
                    continue
                terms, key = job.shapes[shape], (job.number, shape)
                ready = [self._roster.peers[name] for name in candidates(self._roster, terms)]
                what = f"{pending.count} tasks of job {job.number} wait, and nobody was asked"
                if not terms.slots:
                    assert all(self._credit_of(peer, job, shape) <= 0 for peer in ready), what
                    continue
                assert not ready or any(
                    peer.name in holders or peer.levels.get(key, 0) not in (0, DORMANT)
                    for peer in ready
                ), what

    # -- how much

    def _share(self, job: Job, shape: int, peer: Peer, now: float) -> int:
        """How many tasks one agent may get now: all, unless others could run them sooner."""
        pending = job.pending[shape].count
        if not pending or now < job.next_start_at:
            return 0
        if job.spec.start_delay_s:
            return 1
        terms = job.shapes[shape]
        slots = self._slots(terms, candidates(self._roster, terms))
        share = -(-pending * max(1, peer.slots) // slots)
        mean = job.bytes_mean.get(shape, 0)
        fits = max(1, MESSAGE_MAX_BYTES // mean) if mean else GRANT_MAX
        return min(share, GRANT_MAX, fits)

    def _credit_of(self, peer: Peer, job: Job, shape: int) -> int:
        """Tasks that the agent can start, or asked for."""
        terms = job.shapes[shape]
        if terms.slots:
            credit = max(peer.free // terms.slots, peer.parked.get((job.number, shape), 0))
        elif ("aside", peer.name) in self._timers:
            credit = 0
        else:
            credit = ASIDE_MAX - self._aside_of(peer)
        if terms.limit:
            holding = job.holdings.get(peer.name)
            credit = min(credit, terms.limit - (holding.count if holding else 0))
        return credit

    def _creditors(self, job: Job, shape: int) -> Iterator[Peer]:
        """Agents with credit for the shape, those with a free slot first."""
        terms = job.shapes[shape]
        names = list(self._credited)
        if terms.machines:
            names = [name for name in candidates(self._roster, terms) if name in self._credited]
        late: list[Peer] = []
        for name in names:
            peer = self._roster.peers[name]
            if not may_take(peer, terms) or peer.link is None or peer.link.backlog:
                continue
            if peer.free >= terms.slots:
                yield peer
            elif (job.number, shape) in peer.parked:
                late.append(peer)
        yield from late

    def _slots(self, terms: Shape, names: list[str]) -> int:
        """The slots of all agents that may run the shape; at least 1."""
        if not terms.machines:
            return max(1, self._roster.slots_ready)
        return max(1, sum(self._roster.peers[name].slots for name in names))

    def _aside_of(self, peer: Peer) -> int:
        """Tasks that take no slot and are out at the agent."""
        out = 0
        for number in self._aside:
            job = self._jobs[number]
            if holding := job.holdings.get(peer.name):
                out += sum(le.left for le in holding.leases if not job.shapes[le.shape].slots)
        return out


def _fits(job: Job, shape: int, name: str) -> bool:
    machines = job.shapes[shape].machines
    return not machines or name in machines


def _stuck_since(job: Job, peer: Peer, idle: list[str]) -> float | None:
    """When tasks that the agent cannot have started, and others could, are due to be asked back."""
    holding = job.holdings[peer.name]
    if holding.count <= peer.slots:
        return None
    out = 0
    for lease in holding.leases:
        out += lease.left if job.shapes[lease.shape].slots else 0
        if out <= peer.slots or lease.is_withdrawn:
            continue
        if any(name != peer.name and _fits(job, lease.shape, name) for name in idle):
            return lease.since + UNSTARTED_MAX_S
    return None
