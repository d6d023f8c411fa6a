"""The figures of a `covey sparrow` run. Pure.

Response: of a job, from its arrival until its client knew its last result. Ideal: what a cluster of
as many slots needs for the same draw, jobs in the order of their arrival, if it knew everything and
no message took time; while slots suffice, a job's longest task. Slowdown: response ÷ ideal, of the
same percentile; where jobs stand in a line, another order than that of arrival may do better than
1 at the median. Queueing: of a task, how long it, or the reservation that it came by, stood in an
agent's queue. Scheduling: what else there was between its arrival and its start, that is messages.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from covey.client.sparrow.draw import DrawnJob, ideal_responses
from covey.client.sparrow.ran import Ran, RanJob
from covey.model.phases import Phases, aligned, part_s

#: Lines of a histogram.
BINS = 12
#: Points of a curve: more than there are pixels say nothing.
CURVE_POINTS_MAX = 1000
PERCENTILES = (50, 95, 99)


@dataclass(frozen=True, slots=True)
class Spread:
    """Percentiles of a list of seconds; None where it is empty."""

    p50_s: float | None = None
    p95_s: float | None = None
    p99_s: float | None = None
    mean_s: float | None = None

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Those of `values`."""
        if not values:
            return cls()
        ordered = sorted(values)
        p50, p95, p99 = (percentile(ordered, rank) for rank in PERCENTILES)
        return cls(p50, p95, p99, math.fsum(ordered) / len(ordered))

    def fields(self, prefix: str) -> dict[str, float | None]:
        """As fields of JSON."""
        values = (self.p50_s, self.p95_s, self.p99_s)
        return {
            f"{prefix}p{rank}_s": rounded(value)
            for rank, value in zip(PERCENTILES, values, strict=True)
        }


@dataclass(slots=True)
class Figures:
    """What one policy did with the draw."""

    policy: str
    jobs: int
    tasks: int
    failed: int
    response: Spread
    ideal: Spread
    zero_wait: Spread
    queueing: Spread
    scheduling: Spread
    wait: Spread
    messages_per_task: float | None
    responses_s: list[float]
    #: How many of each kind.
    messages: dict[str, int]
    #: From the first arrival to the last result.
    elapsed_s: float
    users: dict[str, Spread] = field(default_factory=dict[str, Spread])

    @property
    def slowdown(self) -> tuple[float | None, float | None, float | None]:
        """Response over ideal, at each percentile."""
        ours, best = self.response, self.ideal
        return (
            _ratio(ours.p50_s, best.p50_s),
            _ratio(ours.p95_s, best.p95_s),
            _ratio(ours.p99_s, best.p99_s),
        )

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        slowdown = {
            f"slowdown_p{rank}": rounded(value)
            for rank, value in zip(PERCENTILES, self.slowdown, strict=True)
        }
        return {
            "policy": self.policy,
            "jobs": self.jobs,
            "tasks": self.tasks,
            "failed": self.failed,
            **self.response.fields(""),
            **self.ideal.fields("ideal_"),
            **slowdown,
            **self.zero_wait.fields("zero_wait_"),
            **self.queueing.fields("queueing_"),
            **self.scheduling.fields("scheduling_"),
            **self.wait.fields("wait_"),
            "messages_per_task": rounded(self.messages_per_task),
            "messages": self.messages,
            "elapsed_s": rounded(self.elapsed_s),
            "users": {
                name: {**spread.fields(""), "mean_s": rounded(spread.mean_s)}
                for name, spread in self.users.items()
            },
        }


def figures(ran: Ran, slots: int, *, warmup_s: float = 0.0) -> Figures:
    """The figures of a run. warmup_s: jobs that arrive sooner are run and not counted."""
    drawn = [job.drawn for job in ran.jobs]
    ideal = ideal_responses(drawn, slots, in_turn=ran.way.in_turn)
    first = min(job.due for job in ran.jobs)
    counted = [at for at, job in enumerate(ran.jobs) if job.due >= first + warmup_s]
    jobs = [ran.jobs[at] for at in counted]
    responses = [job.response_s for job in jobs]
    tasks, _ = aligned([phases for job in jobs for _, phases in job.tasks])
    waits = [one for task in tasks if (one := part_s(task, "wait")) is not None]
    queues = [queued_s(task) for task in tasks if task.started]
    total = sum(len(job.drawn.durations_s) for job in ran.jobs)
    messages = sum(ran.messages.values())
    return Figures(
        policy=ran.way.policy,
        jobs=len(jobs),
        tasks=sum(len(job.drawn.durations_s) for job in jobs),
        failed=sum(job.failed for job in jobs),
        response=Spread.of(responses),
        ideal=Spread.of([ideal[at] for at in counted]),
        zero_wait=Spread.of([max(drawn[at].durations_s) for at in counted]),
        queueing=Spread.of(queues),
        scheduling=Spread.of([max(0.0, w - q) for w, q in zip(waits, queues, strict=False)]),
        wait=Spread.of(waits),
        messages_per_task=messages / total if messages else None,
        messages=dict(ran.messages),
        responses_s=responses,
        elapsed_s=max((job.ended for job in jobs), default=first) - first,
        users=_by_user(jobs),
    )


def queued_s(task: Phases) -> float:
    """How long a task, or its reservation, stood in its agent's queue."""
    return part_s(task, "queue") or 0.0


def _by_user(jobs: Sequence[RanJob]) -> dict[str, Spread]:
    found: dict[str, list[float]] = {}
    for job in jobs:
        if job.drawn.user.name:
            found.setdefault(job.drawn.user.name, []).append(job.response_s)
    return {name: Spread.of(found[name]) for name in sorted(found)}


def percentile(ordered: Sequence[float], rank: float) -> float:
    """The percentile of an ascending list, between its neighbours in proportion."""
    at = (len(ordered) - 1) * rank / 100
    low = math.floor(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (at - low)


def cdf(values: Sequence[float]) -> list[tuple[float, float]]:
    """(value, which part of all is at most so large); CURVE_POINTS_MAX of them at most."""
    ordered = sorted(values)
    step = -(-len(ordered) // CURVE_POINTS_MAX) or 1
    picked = dict.fromkeys([*range(0, len(ordered), step), len(ordered) - 1] if ordered else [])
    return [(ordered[at], (at + 1) / len(ordered)) for at in picked]


def histogram(values: Sequence[float], bins: int = BINS) -> list[tuple[float, float, int]]:
    """(from, to, how many) of equal steps between the least and the largest value."""
    if not values:
        return []
    low, high = min(values), max(values)
    if low == high:
        return [(low, high, len(values))]
    step = (high - low) / bins
    counts = [0] * bins
    for value in values:
        counts[min(bins - 1, int((value - low) / step))] += 1
    return [(low + at * step, low + (at + 1) * step, count) for at, count in enumerate(counts)]


def mean_task_s(jobs: Sequence[DrawnJob]) -> float:
    """Seconds of an average task."""
    lengths = [length for job in jobs for length in job.durations_s]
    return math.fsum(lengths) / len(lengths)


def _ratio(ours: float | None, best: float | None) -> float | None:
    return ours / best if ours is not None and best else None


def rounded(value: float | None) -> float | None:
    """Microseconds are enough for people and programs."""
    return None if value is None else round(value, 6)
