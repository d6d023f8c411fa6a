"""What a scheduler says to agents about tasks and reservations, and the credit that they left.

All that binds tasks goes through here, so that the books of credit, offers and jobs agree.
"""

from covey.core.jobs import Job
from covey.core.offers import DORMANT, STANDING
from covey.core.roster import Peer, Roster
from covey.core.timers import Timers
from covey.model.job import Shape
from covey.settings import MESSAGE_MAX_BYTES
from covey.wire.messages import Describe, Enqueue, Grant, Tail

#: Tasks in one grant.
GRANT_MAX = 256


class Granting:
    """Grants, reservations and descriptions, for all jobs of a scheduler."""

    def __init__(self, roster: Roster, timers: Timers) -> None:
        self._roster = roster
        self._timers = timers
        #: Agents that have credit, longest unused first.
        self.credited: dict[str, None] = {}

    def heard(self, peer: Peer, free: int) -> None:
        """The agent said how many slots it left free."""
        peer.free = free
        if peer.is_ready and (free > 0 or peer.parked):
            self.credited[peer.name] = None
        else:
            self.credited.pop(peer.name, None)

    def tell(self, job: Job, peer: Peer, shape: int, now: float) -> None:
        """Describe a shape before its first mention in the session."""
        if (job.number, shape) not in peer.described:
            terms = Describe(job.number, shape, *_terms(job, shape))
            self._roster.describe(peer, terms, 0 in job.tails, now)

    def most(self, job: Job, shape: int) -> int:
        """Tasks that fit into one grant."""
        mean = job.bytes_mean.get(shape, 0)
        return min(GRANT_MAX, max(1, MESSAGE_MAX_BYTES // mean)) if mean else GRANT_MAX

    def grant(
        self, job: Job, shape: int, peer: Peer, count: int, now: float, *, is_asked: bool = False
    ) -> None:
        """Grant `count` pending tasks of a shape. `is_asked`: to a claim, which holds its slots."""
        ids, ns = job.take(shape, count, peer.name, now)
        self.tell(job, peer, shape, now)
        self._roster.send(peer, Grant(job.number, shape, job.term, ids, ns), now)
        peer.out += len(ids)
        peer.granted_at = now
        key = (job.number, shape)
        peer.parked.pop(key, None)
        if peer.levels.get(key) == DORMANT:
            self._roster.offers.put(peer, key, STANDING)
        self.credited.pop(peer.name, None)
        taken = 0 if is_asked else len(ids) * job.shapes[shape].slots
        self.heard(peer, max(0, peer.free - taken))
        if job.spec.start_delay_s:
            job.next_start_at = now + job.spec.start_delay_s
            if job.pending[shape].count:
                self._timers.wake_by(("pace", job.number), job.next_start_at)
        for task in job.tails:
            if task and job.running.get(task) is not None and task in ids:
                self._roster.send(peer, Tail(job.number, task, True), now)

    def enqueue(self, job: Job, shape: int, peer: Peer, level: int, now: float) -> None:
        """Set the reservations that the agent holds for a shape."""
        key = (job.number, shape)
        order = Enqueue(job.number, shape, abs(level), level == STANDING)
        if job.is_multi_get or job.tails:
            self.tell(job, peer, shape, now)
        elif key not in peer.described:
            # In one message: each agent is asked for a task or two of each job.
            self._roster.offers.tell(peer, key)
            order.terms, order.name, order.weight, order.is_multi_get = _terms(job, shape)
        self._roster.offers.put(peer, key, level)
        self._roster.send(peer, order, now)

    def withdraw(self, number: int, shape: int, peer: Peer, now: float) -> None:
        """Take the agent's reservations for a shape back."""
        self._roster.offers.put(peer, (number, shape), 0)
        self._roster.send(peer, Enqueue(number, shape, 0, standing=False), now)


def _terms(job: Job, shape: int) -> tuple[Shape, str, float, bool]:
    """What an agent has to know of a shape."""
    spec = job.spec
    return job.shapes[shape], spec.name or str(job.number), spec.weight, job.is_multi_get
