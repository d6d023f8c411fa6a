"""Runs a draw of jobs on real agents under one placement policy, and keeps when everything was.

Schedulers live here, as many as are asked for, none knowing of the others; jobs are dealt out to
them in turn. Each is the scheduler of an Executor: in memory, over a bus connection of its own.
"""

import asyncio
import itertools
import os
import random
import secrets
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from covey.agent.synthetic import WORK
from covey.client.calls import call_payload, context_of
from covey.client.connecting import connect
from covey.client.sparrow_draw import DrawnJob
from covey.client.sparrow_machines import Machines
from covey.core.events import Added, Opened, Sealed
from covey.core.scheduler import SchedulerCore
from covey.errors import ClusterError, CoveyError, NotUp
from covey.files.transfer import digest_of
from covey.model.job import JobSpec, RetryPolicy, Shape
from covey.model.phases import Phases
from covey.model.task import OutcomeState
from covey.scheduler.service import SchedulerService
from covey.scheduler.tracing import Tracing
from covey.wire.messages import Output

#: A cluster that is up has this long to answer a scheduler.
ANSWER_MAX_S = 10.0
#: When no task ended for so long, and ten times the longest task, the run is given up.
STALL_MIN_S = 60.0
#: Tasks per slot that warm it up: its child is forked, and knows the function.
WARM_PER_SLOT = 2
#: … and how long each of them takes, so that they spread.
WARM_TASK_S = 0.02
#: Agents are looked at this often until all have answered.
_LOOK_S = 0.01
#: Whether a scheduler broke down, or no task ends any more, is looked at this often.
_CHECK_EVERY_S = 1.0
_POOL = "sparrow"
#: What is a message per task; sessions and heartbeats would be there without any.
COUNTED = (
    *("Probe", "Load", "Describe", "Enqueue", "Withdraw", "Claim", "Grant", "NoTask", "Stop"),
    *("Finished", "Recorded"),
)


@dataclass(frozen=True, slots=True)
class Way:
    """How the jobs of a run are scheduled."""

    policy: str
    probe_ratio: float = 2.0
    has_cancellation: bool = True
    #: False: the paper's policies as they are (protocol.md rule 9).
    is_multi_get: bool = False
    #: One of `agent.synthetic.WORK`.
    work: str = "sleep"
    #: Each job arrives when the one before has ended.
    in_turn: bool = False


@dataclass(slots=True)
class RanJob:
    """What became of a job. Times are seconds since the epoch."""

    drawn: DrawnJob
    #: When it was to arrive.
    due: float
    scheduler: str
    number: int
    ended: float = 0.0
    failed: int = 0
    tasks: list[tuple[int, Phases]] = field(default_factory=list[tuple[int, Phases]])

    @property
    def response_s(self) -> float:
        """From the moment it was due until its client knew its last result."""
        return self.ended - self.due


@dataclass(slots=True)
class Ran:
    """A run: its jobs, and how many messages schedulers and agents exchanged, by kind."""

    way: Way
    jobs: list[RanJob]
    messages: Counter[str]


class _Scheduler:
    """One scheduler and its open jobs. Implements `ports.Payloads` and `ports.Sink`."""

    def __init__(self, name: str, contexts: dict[str, bytes]) -> None:
        self.name = name
        self.tracing = Tracing()
        self.core = SchedulerCore(
            name,
            secrets.token_hex(16),
            1,
            durable=False,
            rng=random.Random(secrets.randbits(64)),
        )
        self.jobs: dict[int, RanJob] = {}
        self.error: CoveyError | None = None
        #: When a task ended last (monotonic).
        self.ended_at = 0.0
        self.changed = asyncio.Event()
        self._contexts = contexts
        self._payloads: dict[int, list[bytes]] = {}
        self._left: dict[int, int] = {}
        self._numbers = itertools.count(1)

    async def open(self, machines: Machines) -> None:
        """Connect, and ask all agents for a session."""
        address = machines.address
        self._bus = await connect(address, self.name)
        self.service = SchedulerService(
            bus=self._bus,
            cluster=machines.space,
            name=self.name,
            core=self.core,
            sink=self,
            payloads=self,
            tracing=self.tracing,
        )
        await self.service.start()
        self.service.meet(machines.members())

    async def close(self) -> None:
        """Take leave of the agents: they stop what still runs."""
        await self.service.close()
        await self._bus.close()

    def submit(self, drawn: DrawnJob, due: float, spec: JobSpec) -> RanJob:
        """Open a job with all its tasks."""
        number, count = next(self._numbers), len(drawn.durations_s)
        job = self.jobs[number] = RanJob(drawn, due, self.name, number)
        payloads = [call_payload((length,), {}) for length in drawn.durations_s]
        self._payloads[number], self._left[number] = payloads, count
        size = sum(map(len, payloads)) // count
        for event in (
            Opened(number, spec),
            Added(number, 1, 1, count, size),
            Sealed(number, count),
        ):
            self.service.handle(event)
        return job

    # ------------------------------------------------------------ ports.Payloads, ports.Sink

    def take(self, job: int, ids: list[int]) -> list[bytes]:
        """See `ports.Payloads`."""
        payloads = self._payloads[job]
        return [payloads[task - 1] for task in ids]

    def read(self, digest: str, offset: int, length: int) -> tuple[int, bytes] | None:
        """See `ports.Payloads`."""
        data = self._contexts.get(digest)
        return None if data is None else (len(data), data[offset : offset + length])

    def resolved(
        self, job: int, ids: list[int], states: list[int], reports: list[bytes | None]
    ) -> None:
        """See `ports.Sink`."""
        ran = self.jobs[job]
        ran.tasks += self.tracing.take(job, ids)
        ran.failed += len(states) - states.count(int(OutcomeState.SUCCEEDED))
        self._left[job] -= len(ids)
        self.ended_at = time.monotonic()
        if not self._left[job]:
            ran.ended = time.time()
            del self.jobs[job], self._payloads[job], self._left[job]
            self.changed.set()

    def job_ended(self, job: int, state: str) -> None:
        """See `ports.Sink`: `resolved` has counted."""

    def agent_changed(self, agent: str, state: str, reason: str) -> None:
        """See `ports.Sink`: its tasks run elsewhere."""

    def output(self, message: Output) -> None:
        """See `ports.Sink`: nothing is written."""

    def failed(self, error: CoveyError) -> None:
        """See `ports.Sink`."""
        self.error = error
        self.changed.set()


class Sparrow:
    """Schedulers before machines; each `run` is one policy on one draw.

    machines: not yet started. schedulers: how many. An async context manager.
    """

    def __init__(self, machines: Machines, schedulers: int = 1) -> None:
        self._machines = machines
        self._contexts: dict[str, bytes] = {}
        self._digests: dict[str, str] = {}
        #: By the names of their subjects: those of others are known apart.
        unique = f"sp-{os.getpid()}-{secrets.token_hex(4)}"
        self._schedulers = [
            _Scheduler(f"{unique}-{number}", self._contexts) for number in range(1, schedulers + 1)
        ]
        self._opened: list[_Scheduler] = []

    async def __aenter__(self) -> "Sparrow":
        """Machines and schedulers are there, and know each other.

        Raises:
            CoveyError: they cannot be brought there.
        """
        try:
            await self._machines.start()
            for scheduler in self._schedulers:
                await scheduler.open(self._machines)
                self._opened.append(scheduler)
            await self._meet()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Everything that was started here ends."""
        for scheduler in self._opened:
            await scheduler.close()
        self._opened.clear()
        self._machines.close()

    @property
    def agents(self) -> int:
        """How many agents have answered."""
        return len(self._schedulers[0].core.roster.ready)

    @property
    def slots(self) -> int:
        """The slots of all of them."""
        roster = self._schedulers[0].core.roster
        return sum(roster.peers[name].slots for name in roster.ready)

    async def warm_up(self, work: str) -> None:
        """Have every slot run something once: forking children is no part of what is measured."""
        count = WARM_PER_SLOT * self.slots
        drawn = DrawnJob(0.0, (WARM_TASK_S,) * count)
        await self.run([drawn], Way("BATCH+LATE_BINDING", work=work, is_multi_get=True))

    async def run(self, jobs: Sequence[DrawnJob], way: Way) -> Ran:
        """Submit the jobs when they are due, and wait for the last one.

        Raises:
            ClusterError: no task ends any more.
            CoveyError: a scheduler broke down.
        """
        before = self._counts()
        ran: list[RanJob] = []
        begun, now = time.time(), time.monotonic()
        for scheduler in self._schedulers:
            scheduler.ended_at = now
        longest_s = max(max(job.durations_s) for job in jobs)
        for drawn, scheduler in zip(jobs, itertools.cycle(self._schedulers)):
            if way.in_turn:
                await self._until_done(longest_s)
                due = time.time()
            else:
                due = begun + drawn.at_s
                await self._until(due)
            ran.append(scheduler.submit(drawn, due, self._spec(drawn, way)))
        await self._until_done(longest_s)
        return Ran(way, ran, self._counts() - before)

    # ------------------------------------------------------------ inside

    def _spec(self, drawn: DrawnJob, way: Way) -> JobSpec:
        user = drawn.user
        shape = Shape(
            kind="callable",
            context=self._digest(way.work),
            user=user.name,
            priority=user.priority,
            is_traced=True,
            pool=_POOL,
        )
        return JobSpec(
            name="sparrow",
            user=user.name,
            weight=user.weight,
            retry=RetryPolicy(),
            shapes=(shape,),
            policy=way.policy,
            probe_ratio=way.probe_ratio,
            has_cancellation=way.has_cancellation,
            is_multi_get=way.is_multi_get,
        )

    def _digest(self, work: str) -> str:
        if work not in self._digests:
            context = context_of(WORK[work], travels=not self._machines.is_here)
            digest = self._digests[work] = digest_of(context)
            self._contexts[digest] = context
        return self._digests[work]

    def _counts(self) -> Counter[str]:
        total: Counter[str] = Counter()
        for scheduler in self._schedulers:
            counts = scheduler.core.counts
            total.update({kind: counts[kind] for kind in COUNTED if kind in counts})
        return total

    async def _meet(self) -> None:
        """Wait until every agent has answered every scheduler; without some, go on.

        Raises:
            NotUp: none answers.
        """
        wanted = len(self._machines.members())
        rosters = [scheduler.core.roster for scheduler in self._schedulers]
        until = time.monotonic() + ANSWER_MAX_S
        while any(len(roster.ready) < wanted for roster in rosters):
            if time.monotonic() > until:
                if all(roster.ready for roster in rosters):
                    return
                raise NotUp(
                    f"none of {wanted} machines answered within {ANSWER_MAX_S:.0f} s: see: covey"
                    " status",
                    cluster="",
                )
            await asyncio.sleep(_LOOK_S)

    async def _until(self, due: float) -> None:
        """Sleep until `due` (epoch); a scheduler that broke down is noticed."""
        while (left := due - time.time()) > 0:
            await asyncio.sleep(min(left, _CHECK_EVERY_S))
            self._check()

    async def _until_done(self, longest_s: float) -> None:
        limit_s = max(STALL_MIN_S, 10 * longest_s)
        for scheduler in self._schedulers:
            while scheduler.jobs:
                scheduler.changed.clear()
                try:
                    async with asyncio.timeout(_CHECK_EVERY_S):
                        await scheduler.changed.wait()
                except TimeoutError:
                    self._check_stall(limit_s)
                self._check()

    def _check(self) -> None:
        for scheduler in self._schedulers:
            if scheduler.error is not None:
                raise scheduler.error

    def _check_stall(self, limit_s: float) -> None:
        last = max(scheduler.ended_at for scheduler in self._schedulers)
        if time.monotonic() < last + limit_s:
            return
        stuck = next(scheduler for scheduler in self._schedulers if scheduler.jobs)
        number = next(iter(stuck.jobs))
        job = stuck.core.jobs.get(number)
        tasks = range(1, job.held + 1) if job is not None else ()
        task = next((task for task in tasks if job is not None and not job.is_ended(task)), 1)
        why = stuck.core.explain(number, task, time.monotonic())
        left = sum(len(scheduler.jobs) for scheduler in self._schedulers)
        raise ClusterError(f"no task has ended for {limit_s:.0f} s and {left} jobs are open: {why}")
