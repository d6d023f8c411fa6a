"""What `covey sparrow` asks schedulers for, what became of it, and what is asked of a scheduler."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import Protocol

from covey.client.sparrow.draw import DrawnJob
from covey.errors import CoveyError
from covey.model.job import JobSpec
from covey.model.phases import Phases

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
    #: Empty: not known.
    messages: Counter[str]


class Scheduler(Protocol):
    """One that runs jobs; none knows of the others."""

    #: That have not ended, by their numbers.
    jobs: dict[int, RanJob]
    #: Why it cannot go on.
    error: CoveyError | None
    #: When a task ended last (monotonic).
    ended_at: float
    #: Set when a job has ended, or there is an error.
    changed: asyncio.Event

    @property
    def agents(self) -> int:
        """How many agents have answered it."""
        ...

    @property
    def slots(self) -> int:
        """The slots of all of them."""
        ...

    async def open(self) -> None:
        """Be there, and ask all agents for a session."""
        ...

    async def meet(self, until: float) -> None:
        """Wait until every agent has answered, until `until` (monotonic) at most.

        Raises:
            NotUp: none has.
        """
        ...

    async def close(self) -> None:
        """Leave: what still runs is stopped."""
        ...

    def submit(self, drawn: DrawnJob, due: float, spec: JobSpec) -> RanJob:
        """Open a job with all its tasks."""
        ...

    async def messages(self) -> Counter[str] | None:
        """Those of `COUNTED` since its start, by kind; None = not known."""
        ...

    def explain(self) -> str:
        """Why the first of its open jobs has not ended."""
        ...
