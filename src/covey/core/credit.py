"""Credit: tasks go at once to agents that left slots free, or asked in vain (protocol.md rule 10).

For jobs that take several tasks per claim (`JobSpec.is_multi_get`), and for tasks that take no
slot. What was granted ahead and is stuck behind a long task is asked back as soon as another agent
has nothing to do.
"""

from collections.abc import Iterator

from covey.core.candidates import candidates, may_take, pool_of
from covey.core.granting import Granting
from covey.core.jobs import Job
from covey.core.roster import Peer, Roster
from covey.core.slots import ASIDE_MAX
from covey.core.timers import Timers
from covey.model.constraint import fits
from covey.wire.messages import Withdraw

#: Seconds after which granted tasks that were not started are asked back, when another agent asks.
UNSTARTED_MAX_S = 0.05
#: An agent that gives back what takes no slot (it leaves, or cannot start it) gets no more of it
#: for so long.
ASIDE_PAUSE_S = 1.0


class Credit:
    """Grants on credit, for all jobs of a scheduler."""

    def __init__(
        self, jobs: dict[int, Job], roster: Roster, timers: Timers, granting: Granting
    ) -> None:
        self._jobs = jobs
        self._roster = roster
        self._timers = timers
        self._granting = granting
        #: Jobs with tasks that take no slot.
        self.aside: set[int] = set()

    def share(self, job: Job, shape: int, peer: Peer, now: float) -> int:
        """How many tasks one agent may get now: all, unless others could run them sooner."""
        pending = job.pending[shape].count
        if not pending or now < job.next_start_at:
            return 0
        if job.shapes[shape].is_spread and peer.name in job.holdings:
            return 0
        if job.spec.start_delay_s or job.shapes[shape].is_spread:
            return 1
        slots = pool_of(self._roster, job.shapes[shape]).slots
        share = -(-pending * max(1, peer.slots) // slots)
        return min(share, self._granting.most(job, shape))

    def of(self, peer: Peer, job: Job, shape: int) -> int:
        """Tasks that the agent can start, or asked for."""
        terms = job.shapes[shape]
        if terms.slots:
            credit = max(peer.free // terms.slots, peer.parked.get((job.number, shape), 0))
        elif ("aside", peer.name) in self._timers:
            credit = 0
        else:
            credit = ASIDE_MAX - self._aside_of(peer)
        if limit := terms.at_once:
            holding = job.holdings.get(peer.name)
            credit = min(credit, limit - (holding.count if holding else 0))
        return credit

    def grant(self, job: Job, shape: int, now: float) -> None:
        """Grant to who has a free slot or asked, as far as that goes."""
        pending = job.pending[shape]
        for peer in self._creditors(job, shape):
            count = min(self.of(peer, job, shape), self.share(job, shape, peer, now))
            if count > 0:
                self._granting.grant(job, shape, peer, count, now)
            if not pending.count or now < job.next_start_at:
                break

    def grant_aside(self, job: Job, shape: int, now: float) -> None:
        """Grant what takes no slot, evenly, as far as there are places for it."""
        pending = job.pending[shape]
        peers = [self._roster.peers[name] for name in candidates(self._roster, job.shapes[shape])]
        while pending.count and now >= job.next_start_at:
            peers = [peer for peer in peers if self.of(peer, job, shape) > 0]
            if not peers:
                return
            share = 1 if job.spec.start_delay_s else -(-pending.count // len(peers))
            for peer in peers:
                count = min(self.of(peer, job, shape), share, pending.count)
                if count > 0 and now >= job.next_start_at:
                    self._granting.grant(job, shape, peer, count, now)

    def call_back(self, job: Job, now: float) -> None:
        """Nothing is pending and an agent asks: others shall return what they do not get to."""
        if len(job.holdings) == 0 or not job.is_open:
            return
        peers = [self._roster.peers[name] for name in self._granting.credited]
        idle = [peer for peer in peers if peer.is_ready and peer.takes_work]
        if any(
            pending.count and any(_fits(job, shape, peer) for peer in idle)
            for shape, pending in job.pending.items()
        ):
            return
        for name in list(job.holdings):
            peer = self._roster.peers[name]
            if not peer.is_ready or idle in ([], [peer]):
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

    def _creditors(self, job: Job, shape: int) -> Iterator[Peer]:
        """Agents with credit for the shape, those with a free slot first."""
        terms = job.shapes[shape]
        credited = self._granting.credited
        names = list(credited)
        if terms.machines:
            names = [name for name in candidates(self._roster, terms) if name in credited]
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

    def _aside_of(self, peer: Peer) -> int:
        """Tasks that take no slot and are out at the agent."""
        out = 0
        for number in self.aside:
            job = self._jobs[number]
            if holding := job.holdings.get(peer.name):
                out += sum(le.left for le in holding.leases if not job.shapes[le.shape].slots)
        return out


def _fits(job: Job, shape: int, peer: Peer) -> bool:
    return fits(job.shapes[shape], peer.name, peer.labels)


def _stuck_since(job: Job, peer: Peer, idle: list[Peer]) -> float | None:
    """When tasks that the agent cannot have started, and others could, are due to be asked back."""
    holding = job.holdings[peer.name]
    slots = peer.slots
    if holding.count <= slots:
        if not peer.is_crowded:
            return None
        # Other schedulers hold its slots: which of ours wait cannot be told from here.
        slots = 0
    out = 0
    for lease in holding.leases:
        out += lease.left if job.shapes[lease.shape].slots else 0
        if out <= slots or lease.is_withdrawn:
            continue
        if any(other is not peer and _fits(job, lease.shape, other) for other in idle):
            return lease.since + UNSTARTED_MAX_S
    return None
