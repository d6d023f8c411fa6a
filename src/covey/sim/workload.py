"""What arrives: jobs by a Poisson process, and how long their tasks take.

The draw depends on the seed and on what is asked for, never on the policy: all policies are
compared on the same jobs.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import inf
from random import Random
from typing import Literal

#: exp-jobs: exponential across jobs, equal within a job (the paper's figure 3); exp-tasks:
#: exponential across tasks; constant.
Durations = Literal["exp-jobs", "exp-tasks", "constant"]
DURATIONS: tuple[Durations, ...] = ("exp-jobs", "exp-tasks", "constant")


@dataclass(slots=True, eq=False)
class SimJob:
    """One job: when it arrives, and the seconds that each of its tasks takes."""

    number: int
    at: float
    durations: list[float]
    user: str = ""
    priority: int = 0
    #: Of its user.
    weight: float = 1.0
    is_long: bool = False
    #: When its last outcome is known to its scheduler; < 0 = not yet.
    ended_at: float = -1.0
    #: The longest that a task of it waited in a queue.
    waited_s: float = 0.0

    @property
    def has_ended(self) -> bool:
        """All its outcomes are known."""
        return self.ended_at >= 0.0

    @property
    def response_s(self) -> float:
        """From its arrival to its last outcome."""
        return self.ended_at - self.at

    @property
    def ideal_s(self) -> float:
        """Its response time where nothing waits and messages take no time."""
        return max(self.durations)


@dataclass(frozen=True, slots=True)
class Stream:
    """Jobs of one user.

    load: the part of all slots that it asks for, on average. weight: its share where all want more
    than there is.
    """

    load: float
    user: str = ""
    weight: float = 1.0
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Workload:
    """What a cluster is given to do.

    jobs: in all. tasks: of each job. mean_s: mean duration of a short task. long_share of the jobs
    take `long_factor` times as long. trace: durations of tasks, repeated as often as needed,
    instead of `durations`. phases: (seconds, who asks for how much), one after the other.
    """

    jobs: int = 1000
    tasks: int = 100
    mean_s: float = 0.1
    durations: Durations = "exp-jobs"
    long_share: float = 0.0
    long_factor: float = 1000.0
    trace: tuple[float, ...] = ()
    phases: tuple[tuple[float, tuple[Stream, ...]], ...] = field(default=((inf, (Stream(1.0),)),))

    def task_mean_s(self) -> float:
        """Mean duration of all tasks."""
        mean_s = sum(self.trace) / len(self.trace) if self.trace else self.mean_s
        return mean_s * (1.0 + self.long_share * (self.long_factor - 1.0))

    def at(self, load: float) -> "Workload":
        """The same with all demands times `load`."""
        phases = tuple(
            (seconds, tuple(replace(one, load=one.load * load) for one in streams))
            for seconds, streams in self.phases
        )
        return replace(self, phases=phases)

    def draw(self, slots: int, seed: str) -> list[SimJob]:
        """The jobs in the order of their arrival, for a cluster of so many slots."""
        rng = Random(f"workload {seed}")
        jobs: list[SimJob] = []
        start = 0.0
        for seconds, streams in self.phases:
            job_slot_s = self.task_mean_s() * self.tasks
            rates = [stream.load * slots / job_slot_s for stream in streams]
            total = sum(rates)
            now = start
            while total and len(jobs) < self.jobs:
                now += rng.expovariate(total)
                if now >= start + seconds:
                    break
                stream = streams[_drawn(rates, rng.random() * total)]
                jobs.append(self._job(len(jobs) + 1, now, stream, rng))
            start += seconds
        return jobs

    def _job(self, number: int, at: float, stream: Stream, rng: Random) -> SimJob:
        is_long = rng.random() < self.long_share
        durations = self._durations(rng, (number - 1) * self.tasks)
        if is_long:
            durations = [duration * self.long_factor for duration in durations]
        return SimJob(number, at, durations, stream.user, stream.priority, stream.weight, is_long)

    def _durations(self, rng: Random, taken: int) -> list[float]:
        tasks, mean_s = self.tasks, self.mean_s
        if trace := self.trace:
            return [trace[(taken + at) % len(trace)] for at in range(tasks)]
        if self.durations == "exp-jobs":
            return [rng.expovariate(1.0) * mean_s] * tasks
        if self.durations == "exp-tasks":
            return [rng.expovariate(1.0) * mean_s for _ in range(tasks)]
        return [mean_s] * tasks


def _drawn(rates: Sequence[float], point: float) -> int:
    """Which of the rates a point of their sum falls into."""
    for at, rate in enumerate(rates):
        point -= rate
        if point < 0.0:
            return at
    return len(rates) - 1
