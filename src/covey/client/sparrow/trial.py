"""Runs a draw of jobs on real agents under one placement policy, and keeps when everything was.

Schedulers live here, as many as are asked for, or are those that run under some names; none knows
of the others. Jobs are dealt out to them in turn.
"""

import asyncio
import itertools
import os
import secrets
import time
from collections import Counter
from collections.abc import Callable, Sequence

from covey.agent.synthetic import WORK
from covey.client.calls import context_of
from covey.client.sparrow.draw import DrawnJob
from covey.client.sparrow.machines import Machines
from covey.client.sparrow.own import ANSWER_MAX_S, OwnScheduler
from covey.client.sparrow.ran import Ran, RanJob, Scheduler, Way
from covey.errors import ClusterError
from covey.files.transfer import digest_of
from covey.model.job import JobSpec, RetryPolicy, Shape

#: When no task ended for so long, and ten times the longest task, the run is given up.
STALL_MIN_S = 60.0
#: Tasks per slot that warm it up: its child is forked, and knows the function.
WARM_PER_SLOT = 2
#: … and how long each of them takes, so that they spread.
WARM_TASK_S = 0.02
#: Whether a scheduler broke down, or no task ends any more, is looked at this often.
_CHECK_EVERY_S = 1.0
_POOL = "sparrow"

#: Makes the schedulers, given where they find contexts by their digests.
MakeSchedulers = Callable[[dict[str, bytes]], Sequence[Scheduler]]


class Sparrow:
    """Schedulers before machines; each `run` is one policy on one draw.

    machines: not yet started. An async context manager.
    """

    def __init__(self, machines: Machines, schedulers: int | MakeSchedulers = 1) -> None:
        """schedulers: how many of our own, or what makes them."""
        self._machines = machines
        self._contexts: dict[str, bytes] = {}
        self._digests: dict[str, str] = {}
        make = self._own(schedulers) if isinstance(schedulers, int) else schedulers
        self._schedulers = make(self._contexts)
        self._opened: list[Scheduler] = []

    async def __aenter__(self) -> "Sparrow":
        """Machines and schedulers are there, and know each other.

        Raises:
            CoveyError: they cannot be brought there.
        """
        try:
            await self._machines.start()
            for scheduler in self._schedulers:
                await scheduler.open()
                self._opened.append(scheduler)
            until = time.monotonic() + ANSWER_MAX_S
            for scheduler in self._schedulers:
                await scheduler.meet(until)
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
        return self._schedulers[0].agents

    @property
    def slots(self) -> int:
        """The slots of all of them."""
        return self._schedulers[0].slots

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
        before = await self._counts()
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
        after = await self._counts() if before is not None else None
        messages = after - before if before is not None and after is not None else None
        return Ran(way, ran, messages or Counter())

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

    def _own(self, count: int) -> MakeSchedulers:
        # By the names of their subjects: those of others are known apart.
        unique = f"sp-{os.getpid()}-{secrets.token_hex(4)}"
        return lambda contexts: [
            OwnScheduler(f"{unique}-{number}", self._machines, contexts)
            for number in range(1, count + 1)
        ]

    async def _counts(self) -> Counter[str] | None:
        total: Counter[str] = Counter()
        for scheduler in self._schedulers:
            found = await scheduler.messages()
            if found is None:
                return None
            total += found
        return total

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
        left = sum(len(scheduler.jobs) for scheduler in self._schedulers)
        raise ClusterError(
            f"no task has ended for {limit_s:.0f} s and {left} jobs are open: {stuck.explain()}"
        )
