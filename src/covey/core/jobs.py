"""What a scheduler knows of one job: its tasks as sets and counters, never as objects.

Each task that is held is in exactly one place: pending (never granted, or wanted again), held back
(a restarted scheduler waits for agents to say whether they run it), running (granted to an agent),
or ended (nothing is kept but counters). An attempt is (term, n): n is 1 unless `ns` says
otherwise.
"""

from bisect import bisect_right
from dataclasses import dataclass, field

from covey.core.pending import Pending
from covey.core.policies import policy_for
from covey.errors import InvalidTransition
from covey.model.job import JobSpec, JobState, Shape
from covey.model.task import Attempt, OutcomeState

#: (state, event) -> state. Any other pair is InvalidTransition.
JOB_TRANSITIONS: dict[tuple[JobState, str], JobState] = {
    (JobState.RUNNING, "cancel"): JobState.CANCELLING,
    (JobState.RUNNING, "halt"): JobState.CANCELLING,
    (JobState.RUNNING, "succeeded"): JobState.SUCCEEDED,
    (JobState.RUNNING, "failed"): JobState.FAILED,
    (JobState.CANCELLING, "cancel"): JobState.CANCELLING,
    (JobState.CANCELLING, "succeeded"): JobState.SUCCEEDED,
    (JobState.CANCELLING, "failed"): JobState.FAILED,
    (JobState.CANCELLING, "cancelled"): JobState.CANCELLED,
}


@dataclass(slots=True, eq=False)
class Lease:
    """Tasks granted to an agent by one `Grant`, or adopted. Compared by identity."""

    agent: str
    shape: int
    term: int
    since: float
    #: How many of its tasks are still out.
    left: int
    #: n of each task, if they were adopted; None = `Job.ns` says.
    ns: dict[int, int] | None = None
    #: Its unstarted tasks were asked back already.
    is_withdrawn: bool = False


@dataclass(slots=True)
class Holding:
    """What one agent holds of a job."""

    count: int = 0
    #: In order of granting; those of which nothing is out any more are gone, however long an older
    #: one lasts.
    leases: dict[Lease, None] = field(default_factory=dict[Lease, None])


class Job:
    """The tasks of one job and where they are."""

    def __init__(self, number: int, spec: JobSpec, term: int) -> None:
        self.number = number
        self.spec = spec
        self.term = term
        self.policy = policy_for(spec)
        #: Its tasks are granted before a slot is free for them; or it lives on credit and claims
        #: for several tasks; or neither: one task per claim.
        self.is_early = self.policy.traits.is_early
        self.is_measuring = self.policy.traits.is_measuring
        # Who paces its starts would ask in vain for each of its reservations.
        self.is_multi_get = spec.is_multi_get or spec.start_delay_s > 0
        self.is_sharing = self.is_multi_get and not self.is_early
        self.state = JobState.RUNNING
        #: Why it is being ended early ("" = it is not).
        self.reason = ""
        self.is_halted = False
        self.shapes: dict[int, Shape] = {}
        self.bytes_mean: dict[int, int] = {}
        self.pending: dict[int, Pending] = {}
        #: Some shape says where it may run; some shape takes no slot.
        self.is_constrained = False
        self.has_aside = False
        #: Of its shapes, the lowest.
        self.least_priority = 0
        for shape, terms in enumerate(spec.shapes, start=1):
            self.add_shape(shape, terms)
        self.held_back = Pending()
        #: Of a restored job, see `Restored.spans`.
        self.spans: list[tuple[int, int]] = []
        self.running: dict[int, Lease] = {}
        #: How many of them there are, by priority: to count leases would be dear each time.
        self.urgencies: dict[int, int] = {}
        self.holdings: dict[str, Holding] = {}
        #: n of the running or of the next attempt, where it is not 1.
        self.ns: dict[int, int] = {}
        self.starts: dict[int, int] = {}
        self.starts_lost: dict[int, int] = {}
        #: Tasks to be stopped -> when they are given up.
        self.stops: dict[int, float] = {}
        #: Older attempts that run as well: task -> (agent, attempt).
        self.doubles: dict[int, list[tuple[str, Attempt]]] = {}
        self.tails: dict[int, bool] = {}
        self.held = 0
        self.total: int | None = None
        self.succeeded = 0
        self.failed = 0
        self.cancelled = 0
        self.returned = 0
        self.next_start_at = 0.0
        #: Pending tasks per shape for which reservations were left; see `reserving`.
        self.covered: dict[int, int] = {}
        #: Agent -> seconds that tasks of the job take there, where the policy measures them.
        self.task_s: dict[str, float] = {}

    # -- what it is

    @property
    def ended(self) -> int:
        """Tasks that have their outcome."""
        return self.succeeded + self.failed + self.cancelled

    @property
    def waiting(self) -> int:
        """Tasks that wait to be granted, those held back included."""
        return sum(pending.count for pending in self.pending.values()) + self.held_back.count

    @property
    def is_open(self) -> bool:
        """Its tasks may be granted."""
        return self.state is JobState.RUNNING

    def moves(self, event: str) -> None:
        """Go where JOB_TRANSITIONS says.

        Raises:
            InvalidTransition: the table has no such pair.
        """
        after = JOB_TRANSITIONS.get((self.state, event))
        if after is None:
            raise InvalidTransition(
                f"job {self.number}: {event!r} in state {self.state}", state=self.state, event=event
            )
        self.state = after

    def is_waiting(self, task: int) -> bool:
        """The task is pending or held back."""
        return task in self.held_back or any(task in p for p in self.pending.values())

    def is_ended(self, task: int) -> bool:
        """The task has its outcome."""
        return 0 < task <= self.held and task not in self.running and not self.is_waiting(task)

    def attempt_of(self, task: int, lease: Lease) -> Attempt:
        """Which attempt of the task the lease is for."""
        if lease.ns is not None:
            return Attempt(lease.term, lease.ns[task])
        return Attempt(lease.term, self.ns.get(task, 1))

    def leases_of(self, agent: str) -> list[tuple[int, Lease]]:
        """(task, lease) of all that an agent holds, in order of granting."""
        return [(task, lease) for task, lease in self.running.items() if lease.agent == agent]

    def shape_of(self, task: int) -> int:
        """The shape of a task that was restored."""
        at = bisect_right(self.spans, task, key=lambda span: span[0])
        return self.spans[at - 1][1] if at else 1

    # -- where tasks go

    def add_shape(self, shape: int, terms: Shape) -> None:
        """One more shape; the same number again changes nothing."""
        if shape not in self.shapes:
            least = min(self.least_priority, terms.priority) if self.shapes else terms.priority
            self.least_priority = least
            self.shapes[shape] = terms
            self.pending[shape] = Pending()
            self.is_constrained |= bool(terms.machines or terms.labels or terms.avoid)
            self.has_aside |= not terms.slots

    def release(self) -> None:
        """What is held back is pending, each task in its shape."""
        for first, stop in list(self.held_back.ranges()):
            self.spread(first, stop - first)
        self.held_back = Pending()

    def spread(self, first: int, count: int) -> None:
        """Restored tasks are pending, each in its shape."""
        stop = first + count
        for at, _ in self.spans:
            if first < at < stop:
                self.pending[self.shape_of(first)].add(first, at - first)
                first = at
        if first < stop:
            self.pending[self.shape_of(first)].add(first, stop - first)

    def take(self, shape: int, count: int, agent: str, now: float) -> tuple[list[int], list[int]]:
        """Move up to `count` pending tasks to running at `agent`; returns ids and ns."""
        ids = self.pending[shape].take(count)
        ns = [self.ns.get(task, 1) for task in ids] if self.ns else [1] * len(ids)
        self._lend(ids, Lease(agent, shape, self.term, now, len(ids)))
        return ids, ns

    def adopt(self, task: int, attempt: Attempt, agent: str, now: float) -> bool:
        """A waiting task turns out to run at `agent` as `attempt`: so it runs. False = not
        waiting.
        """
        shape = self._strike(task)
        if not shape:
            return False
        lease = Lease(agent, shape, attempt.term, now, 1, ns={task: attempt.n})
        self._lend([task], lease)
        return True

    def strike(self, task: int) -> bool:
        """Take a waiting task out (it ends). False = it was not waiting."""
        return self._strike(task) > 0

    def regain(self, task: int) -> Lease:
        """Take a running task from its agent; the caller says where it goes."""
        lease = self.running.pop(task)
        self.reduce(lease, 1)
        return lease

    def forget_doubles(self, agent: str, held: set[tuple[int, Attempt]]) -> None:
        """Older attempts that the agent does not hold any more run nowhere."""
        for task, others in list(self.doubles.items()):
            left = [one for one in others if one[0] != agent or (task, one[1]) in held]
            if left:
                self.doubles[task] = left
            else:
                del self.doubles[task]

    def reduce(self, lease: Lease, count: int) -> None:
        """So many tasks of a lease came back (and are out of `running`)."""
        lease.left -= count
        self.urgencies[self.shapes[lease.shape].priority] -= count
        holding = self.holdings[lease.agent]
        holding.count -= count
        if not lease.left:
            del holding.leases[lease]
        if not holding.count:
            del self.holdings[lease.agent]

    def put_back(self, task: int, lease: Lease) -> None:
        """A regained task is wanted again: its next attempt gets the next n."""
        if lease.term == self.term:
            self.ns[task] = max(self.ns.get(task, 1), self.attempt_of(task, lease).n) + 1
        self.pending[lease.shape].put_back(task)

    def close(self, task: int, state: int) -> None:
        """Count an outcome and forget what was kept of the task."""
        if state == OutcomeState.SUCCEEDED:
            self.succeeded += 1
        elif state == OutcomeState.CANCELLED:
            self.cancelled += 1
        else:
            self.failed += 1
        for kept in (self.ns, self.starts, self.starts_lost, self.stops):
            if kept:
                kept.pop(task, None)

    def close_succeeded(self, ids: list[int]) -> None:
        """`close` for a batch that succeeded."""
        self.succeeded += len(ids)
        for kept in (self.ns, self.starts, self.starts_lost, self.stops):
            if kept:
                for task in ids:
                    kept.pop(task, None)

    def check(self) -> None:
        """Assert that each held task is in exactly one place."""
        for pending in (*self.pending.values(), self.held_back):
            pending.check()
        assert self.waiting + len(self.running) + self.ended == self.held, (
            f"job {self.number}: every task is waiting, running or ended"
        )
        assert not any(self.is_waiting(task) for task in self.running), "no task waits and runs"
        for agent, holding in self.holdings.items():
            held = self.leases_of(agent)
            assert len(held) == holding.count, f"{agent} holds what is counted"
            assert sum(lease.left for lease in holding.leases) == holding.count
            assert all(lease.left > 0 for lease in holding.leases), "a lease is kept for nothing"
        assert sum(h.count for h in self.holdings.values()) == len(self.running)
        for priority, count in self.urgencies.items():
            leases = self.running.values()
            assert count == sum(self.shapes[le.shape].priority == priority for le in leases)

    def _lend(self, ids: list[int], lease: Lease) -> None:
        if not ids:
            return
        self.running.update(dict.fromkeys(ids, lease))
        priority = self.shapes[lease.shape].priority
        self.urgencies[priority] = self.urgencies.get(priority, 0) + len(ids)
        holding = self.holdings.get(lease.agent)
        if holding is None:
            holding = self.holdings[lease.agent] = Holding()
        holding.count += len(ids)
        holding.leases[lease] = None

    def _strike(self, task: int) -> int:
        if self.held_back.strike(task):
            return self.shape_of(task)
        for shape, pending in self.pending.items():
            if pending.strike(task):
                return shape
        return 0
