"""A scheduler of `covey sparrow` in this process: that of an Executor, over a bus connection."""

import asyncio
import itertools
import random
import secrets
import time
from collections import Counter

from covey.client.calls import call_payload
from covey.client.connecting import connect
from covey.client.sparrow.draw import DrawnJob
from covey.client.sparrow.machines import Machines
from covey.client.sparrow.ran import COUNTED, RanJob
from covey.core.events import Added, Opened, Sealed
from covey.core.scheduler import SchedulerCore
from covey.errors import CoveyError, NotUp
from covey.model.job import JobSpec
from covey.model.task import OutcomeState
from covey.scheduler.service import SchedulerService
from covey.scheduler.tracing import Tracing
from covey.wire.messages import Output

#: A cluster that is up has this long to answer a scheduler.
ANSWER_MAX_S = 10.0
#: Agents are looked at this often until all have answered.
_LOOK_S = 0.01


class OwnScheduler:
    """A scheduler in this process. Implements `Scheduler`, `ports.Payloads` and `ports.Sink`."""

    def __init__(self, name: str, machines: Machines, contexts: dict[str, bytes]) -> None:
        self.name = name
        self._machines = machines
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
        self.ended_at = 0.0
        self.changed = asyncio.Event()
        self._contexts = contexts
        self._payloads: dict[int, list[bytes]] = {}
        self._left: dict[int, int] = {}
        self._numbers = itertools.count(1)

    @property
    def agents(self) -> int:
        """See `Scheduler`."""
        return len(self.core.roster.ready)

    @property
    def slots(self) -> int:
        """See `Scheduler`."""
        roster = self.core.roster
        return sum(roster.peers[name].slots for name in roster.ready)

    async def open(self) -> None:
        """See `Scheduler`."""
        machines = self._machines
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

    async def meet(self, until: float) -> None:
        """See `Scheduler`."""
        wanted = len(self._machines.members())
        while self.agents < wanted:
            if time.monotonic() > until:
                if self.agents:
                    return
                raise NotUp(
                    f"none of {wanted} machines answered within {ANSWER_MAX_S:.0f} s: see: covey"
                    " status",
                    cluster="",
                )
            await asyncio.sleep(_LOOK_S)

    async def close(self) -> None:
        """See `Scheduler`."""
        await self.service.close()
        await self._bus.close()

    def submit(self, drawn: DrawnJob, due: float, spec: JobSpec) -> RanJob:
        """See `Scheduler`."""
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

    async def messages(self) -> Counter[str] | None:
        """See `Scheduler`."""
        counts = self.core.counts
        return Counter({kind: counts[kind] for kind in COUNTED if kind in counts})

    def explain(self) -> str:
        """See `Scheduler`."""
        number = next(iter(self.jobs))
        job = self.core.jobs.get(number)
        tasks = range(1, job.held + 1) if job is not None else ()
        task = next((task for task in tasks if job is not None and not job.is_ended(task)), 1)
        return self.core.explain(number, task, time.monotonic())

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
