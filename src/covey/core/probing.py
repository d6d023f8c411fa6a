"""Early binding: tasks are granted at once and wait at their agents (SOSP'13 §3.1 to §3.3).

For policies that ask, the agents that were drawn are probed first, in rounds: one per shape at a
time, for all tasks that are pending then. Who does not answer within PROBE_MAX_S (the probe was
lost, the agent is dead or slow) is taken last: what is known is enough.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

from covey.core.candidates import is_constrained, may_take, pool_of
from covey.core.granting import Granting
from covey.core.jobs import Job
from covey.core.placement import Placed, PlacementPolicy
from covey.core.reserving import Reserving
from covey.core.roster import Peer, Roster
from covey.core.timers import Timers
from covey.model.job import Shape
from covey.wire.messages import Load, Probe

#: Seconds that a round waits for the answers to its probes; a round trip over the world is less.
PROBE_MAX_S = 0.4
#: Seconds that a task of a job is taken to last while none has ended anywhere (least loaded).
FIRST_TASK_S = 1.0


@dataclass(slots=True)
class Round:
    """Probes that were sent to place `tasks` tasks, and what they found."""

    tasks: int
    groups: list[list[str]]
    policy: PlacementPolicy
    until: float
    unanswered: dict[str, None]
    loads: dict[str, float] = field(default_factory=dict[str, float])
    costs: dict[str, float] = field(default_factory=dict[str, float])


class Probing:
    """Places the tasks of jobs that bind early."""

    def __init__(
        self,
        jobs: dict[int, Job],
        roster: Roster,
        timers: Timers,
        granting: Granting,
        reserving: Reserving,
        rng: Random,
    ) -> None:
        self._jobs = jobs
        self._roster = roster
        self._timers = timers
        self._granting = granting
        self._reserving = reserving
        self._rng = rng
        #: job -> shape -> its round.
        self._rounds: dict[int, dict[int, Round]] = {}

    def place(self, job: Job, shape: int, now: float) -> None:
        """Place what is pending of a shape, or begin to ask where it could go."""
        if shape in self._rounds.get(job.number, ()):
            return
        policy = self._reserving.policy_of(job)
        terms = job.shapes[shape]
        pool = pool_of(self._roster, terms)
        names = pool.names
        most = policy.traits.ahead * pool.slots // terms.slots - _bound(job, terms, names)
        if terms.is_spread:
            names = [name for name in names if name not in job.holdings]
            most = min(most, len(names))
        tasks = min(job.pending[shape].count, most, 1 if job.spec.start_delay_s else most)
        if tasks <= 0 or not names:
            return
        groups = policy.sample(tasks, names, self._rng)
        if not policy.traits.asks:
            loads, costs = self._books(job, policy, names)
            self._bind(job, shape, policy.place(tasks, groups, loads, costs), now)
            return
        asked = dict.fromkeys(agent for group in groups for agent in group)
        rounds = self._rounds.setdefault(job.number, {})
        rounds[shape] = Round(tasks, groups, policy, now + PROBE_MAX_S, asked)
        for name in asked:
            self._roster.send(self._roster.peers[name], Probe(job.number), now)
        self._timers.wake_by(("probe", job.number), now + PROBE_MAX_S)

    def loaded(self, peer: Peer, message: Load, now: float) -> None:
        """An agent answered: how much waits there."""
        job = self._jobs.get(message.job)
        slots = max(1, peer.slots)
        for shape, asked in list(self._rounds.get(message.job, {}).items()):
            if peer.name not in asked.unanswered:
                continue
            del asked.unanswered[peer.name]
            asked.loads[peer.name] = (message.queued + message.busy) / slots
            asked.costs[peer.name] = 1 / slots
            if not asked.unanswered and job is not None:
                self._end(job, shape, now)

    def look(self, job: Job, now: float) -> None:
        """Rounds that waited for long enough end with what they know."""
        for shape, asked in list(self._rounds.get(job.number, {}).items()):
            if asked.until <= now:
                self._end(job, shape, now)
            else:
                self._timers.wake_by(("probe", job.number), asked.until)

    def forget(self, peers: list[Peer], now: float) -> None:
        """Their sessions are over: they will not answer."""
        for number, rounds in list(self._rounds.items()):
            for shape, asked in list(rounds.items()):
                for peer in peers:
                    asked.unanswered.pop(peer.name, None)
                    asked.loads.pop(peer.name, None)
                if not asked.unanswered:
                    self._end(self._jobs[number], shape, now)

    def close(self, number: int) -> None:
        """The job is over."""
        self._rounds.pop(number, None)

    def is_asking(self, number: int, shape: int) -> bool:
        """Whether a round is open for a shape."""
        return shape in self._rounds.get(number, ())

    def _end(self, job: Job, shape: int, now: float) -> None:
        rounds = self._rounds[job.number]
        asked = rounds.pop(shape)
        if not rounds:
            del self._rounds[job.number]
        if not job.is_open:
            return
        terms, peers = job.shapes[shape], self._roster.peers
        groups = [
            [name for name in group if may_take(peers[name], terms)] for group in asked.groups
        ]
        groups = [group for group in groups if group]
        tasks = min(asked.tasks, job.pending[shape].count)
        if groups and tasks:
            placed = asked.policy.place(tasks, groups, asked.loads, asked.costs)
            self._bind(job, shape, placed, now)
        # What came meanwhile, and what was meant for agents that went.
        if job.pending[shape].count and now >= job.next_start_at:
            self.place(job, shape, now)

    def _bind(self, job: Job, shape: int, placed: list[Placed], now: float) -> None:
        counts: dict[str, int] = {}
        for agent, _ in placed:
            counts[agent] = counts.get(agent, 0) + 1
        most = self._granting.most(job, shape)
        for agent, count in counts.items():
            peer = self._roster.peers[agent]
            for at in range(0, count, most):
                self._granting.grant(job, shape, peer, min(most, count - at), now)

    def _books(
        self, job: Job, policy: PlacementPolicy, names: list[str]
    ) -> tuple[Mapping[str, float], Mapping[str, float]]:
        """What each agent was granted and has not ended, in seconds of its slots; and one more."""
        if not policy.traits.is_measuring:
            return {}, {}
        known = job.task_s
        mean = sum(known.values()) / len(known) if known else FIRST_TASK_S
        costs: dict[str, float] = {}
        loads: dict[str, float] = {}
        for name in names:
            peer = self._roster.peers[name]
            costs[name] = known.get(name, mean) / max(1, peer.slots)
            loads[name] = peer.out * costs[name]
        return loads, costs


def _bound(job: Job, terms: Shape, names: Sequence[str]) -> int:
    """Tasks of the job that were granted and keep others of a shape waiting.

    Not those that run where these may not go, nor what is less urgent.
    """
    is_lowest = terms.priority <= job.least_priority
    if not is_constrained(terms):
        if is_lowest:
            return len(job.running)
        return sum(n for priority, n in job.urgencies.items() if priority >= terms.priority)
    holdings = [job.holdings[name] for name in names if name in job.holdings]
    if is_lowest:
        return sum(holding.count for holding in holdings)
    shapes = job.shapes
    return sum(
        lease.left
        for holding in holdings
        for lease in holding.leases
        if shapes[lease.shape].priority >= terms.priority
    )
