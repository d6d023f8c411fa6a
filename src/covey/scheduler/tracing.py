"""The phase times of traced jobs, as their scheduler sees them pass.

What belongs to jobs that are not traced costs one look into an empty set per message.
"""

import time
from collections.abc import Sequence

from covey.core.events import Added, Event, Opened, Restored, Shaped
from covey.model.phases import Phases, unstamped
from covey.wire.messages import Enqueue, Finished, Grant


class Tracing:
    """Stamps the tasks of one scheduler between its service and whoever records them."""

    def __init__(self) -> None:
        self.jobs: set[int] = set()
        #: job -> when (first task, its time) of each batch arrived.
        self._arrived: dict[int, list[tuple[int, float]]] = {}
        #: (job, agent) -> when the newest reservation was sent.
        self._reserved: dict[tuple[int, str], float] = {}
        self._tasks: dict[tuple[int, int], Phases] = {}

    def heard(self, event: Event) -> None:
        """The core is told something: maybe of a traced job."""
        if isinstance(event, Added):
            if event.job in self.jobs:
                self._arrived.setdefault(event.job, []).append((event.first, time.time()))
        elif isinstance(event, Opened | Restored):
            if any(shape.is_traced for shape in event.spec.shapes):
                self.jobs.add(event.job)
        elif isinstance(event, Shaped) and event.terms.is_traced:
            self.jobs.add(event.job)

    def reserved(self, agent: str, message: Enqueue) -> None:
        """Reservations go to an agent (again, if the message must be repeated)."""
        if message.job in self.jobs and message.count:
            self._reserved.setdefault((message.job, agent), time.time())

    def granted(self, agent: str, grant: Grant) -> None:
        """A grant goes to an agent for the first time."""
        if grant.job not in self.jobs:
            return
        now = time.time()
        reserved = self._reserved.get((grant.job, agent), now)
        for task in grant.ids:
            phases = self._begun(grant.job, task)
            phases.reserved, phases.granted, phases.agent = reserved, now, agent
            self._tasks[grant.job, task] = phases

    def came(self, agent: str, message: Finished, reports: list[bytes]) -> list[bytes]:
        """Reports of a traced job without the stamps that its agent put before them."""
        out: list[bytes] = []
        for task, report in zip(message.ids, reports, strict=False):
            plain, stamps = unstamped(report)
            phases = self._tasks.get((message.job, task))
            if stamps is not None and phases is not None and phases.agent == agent:
                phases.at_agent(stamps)
            out.append(plain)
        return out

    def take(self, job: int, ids: Sequence[int]) -> list[tuple[int, Phases]]:
        """The phases of tasks that are recorded now; they are forgotten here."""
        if job not in self.jobs:
            return []
        now = time.time()
        out: list[tuple[int, Phases]] = []
        for task in ids:
            phases = self._tasks.pop((job, task), None) or self._begun(job, task)
            phases.recorded = now
            out.append((task, phases))
        return out

    def forget(self, job: int) -> None:
        """The job has ended."""
        if job in self.jobs:
            self.jobs.discard(job)
            self._arrived.pop(job, None)
            for kept in (self._reserved, self._tasks):
                for key in [key for key in kept if key[0] == job]:
                    del kept[key]  # pyright: ignore[reportArgumentType]

    def _begun(self, job: int, task: int) -> Phases:
        at = 0.0
        for first, when in self._arrived.get(job, ()):
            if first > task:
                break
            at = when
        return Phases(arrived=at)
