"""Reservations: late bound, each names a job and a shape, and some task will answer it.

With several tasks per claim, a job that has more tasks than there are slots leaves a standing
reservation at every agent; one with fewer, d per task. Without (`JobSpec.is_multi_get` = False, the
policy as in the paper) each task that becomes pending leaves d reservations, and a claim uses one
up, whatever it finds. When the last pending task is granted, those that are left are taken back
(SOSP'13 §3.6, proactive cancellation).
"""

from random import Random

from covey.core.candidates import may_take, pool_of
from covey.core.granting import Granting
from covey.core.jobs import Job
from covey.core.offers import DORMANT, STANDING
from covey.core.placement import PlacementPolicy
from covey.core.policies import policy_for
from covey.core.roster import Peer, Roster


class Reserving:
    """Leaves reservations at agents and takes them back, for all jobs of a scheduler."""

    def __init__(self, roster: Roster, granting: Granting, rng: Random) -> None:
        self._roster = roster
        self._granting = granting
        self._rng = rng

    def policy_of(self, job: Job) -> PlacementPolicy:
        """The policy of a job, with the probe ratio of the moment if that is automatic."""
        if job.spec.probe_ratio:
            return job.policy
        return policy_for(job.spec, self._roster.census.load)

    def reserve(self, job: Job, shape: int, now: float) -> None:
        """Leave as many reservations as the pending tasks of a shape need, and are not left yet."""
        pool = pool_of(self._roster, job.shapes[shape])
        if not pool.names:
            return
        pending = job.pending[shape].count
        offer = self._roster.offers.of((job.number, shape))
        if not job.is_multi_get:
            # Fewer than one for each pending task: some were lost with their agents.
            covered = min(job.covered.get(shape, 0), pending, offer.held)
            job.covered[shape] = pending
            if covered < pending:
                self._spread(job, shape, pending - covered, pool.names, now)
        elif pending >= pool.slots:
            if offer.standing < len(pool.names):
                for name in pool.names:
                    if offer.levels.get(name) != STANDING:
                        peer = self._roster.peers[name]
                        self._granting.enqueue(job, shape, peer, STANDING, now)
        elif offer.held < pending:
            # Those that still stand may be behind long tasks of others: some more are left.
            wanted = min(len(pool.names), round((job.spec.probe_ratio or 1.0) * pending))
            if offer.held + offer.standing < wanted:
                self._spread(job, shape, pending - offer.held, pool.names, now)

    def _spread(self, job: Job, shape: int, tasks: int, names: list[str], now: float) -> None:
        policy = self.policy_of(job)
        groups = policy.sample(tasks, names, self._rng)
        counts: dict[str, int] = {}
        for agent, _ in policy.place(tasks, groups, {}):
            counts[agent] = counts.get(agent, 0) + 1
        key = (job.number, shape)
        for agent, count in counts.items():
            peer = self._roster.peers[agent]
            level = peer.levels.get(key, 0)
            if level != STANDING:
                self._granting.enqueue(job, shape, peer, max(0, level) + count, now)

    def offer_again(self, job: Job, peer: Peer, now: float) -> None:
        """Tasks came back from an agent, where something more urgent took their slot: when that
        ends, only the agent knows, and its slot is free for them again.
        """
        for shape, pending in job.pending.items():
            terms = job.shapes[shape]
            level = peer.levels.get((job.number, shape), DORMANT)
            if pending.count and terms.slots and level == DORMANT and may_take(peer, terms):
                self._granting.enqueue(job, shape, peer, 1, now)

    def granted(self, job: Job, shape: int, count: int, now: float) -> None:
        """So many tasks were granted to claims; of a job with none left, take the rest back."""
        left = job.pending[shape].count
        if job.covered:
            job.covered[shape] = max(0, job.covered.get(shape, 0) - count)
        spec = job.spec
        # What asks for several tasks may get the next ones of a job that is still growing.
        if left or not spec.has_cancellation or (job.is_multi_get and job.total is None):
            return
        offer = self._roster.offers.of((job.number, shape))
        if offer.held:
            for name in [name for name, level in offer.levels.items() if level > 0]:
                self._granting.withdraw(job.number, shape, self._roster.peers[name], now)
