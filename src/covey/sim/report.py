"""What a run says: percentiles of job response times, and what they cost."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import ceil
from typing import Any

from covey.sim.workload import SimJob

#: A wait of no more than this is none: sums of floats that stand for the same moment differ.
NO_WAIT_S = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What of a run is not in its jobs. zero_wait_expected: what the closed form says of it."""

    policy: str
    load: float
    label: str
    engine: str
    machines: int
    slots: int
    probe_ratio: float
    has_cancellation: bool
    zero_wait_expected: float | None
    messages_per_task: float
    events: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Point(Run):
    """One run, or one part of its jobs. Times are of jobs, in seconds.

    ideal: where nothing waits and messages take no time. slowdown_p50: median over median of that.
    waited: the longest wait of a task of the job. zero_wait: the part of the jobs of which no task
    waited. unfinished: jobs that had not ended when the run was cut off; they are in no other
    figure.
    """

    part: str
    jobs: int
    tasks: int
    p50_s: float
    p95_s: float
    p99_s: float
    mean_s: float
    ideal_p50_s: float
    slowdown_p50: float
    waited_p50_s: float
    zero_wait: float
    unfinished: int

    def to_json(self) -> dict[str, Any]:
        """Field by field, rounded to a nanosecond."""
        return {key: _rounded(value) for key, value in asdict(self).items()}


def _rounded(value: object) -> object:
    return round(value, 9) if isinstance(value, float) else value


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The smallest value that so many percent of the values do not exceed (nearest rank)."""
    if not ordered:
        return 0.0
    return ordered[max(0, ceil(len(ordered) * percent / 100) - 1)]


def cdf(ordered: Sequence[float], steps: int = 1000) -> list[tuple[float, float]]:
    """(fraction, value): at most `steps` points of a distribution function."""
    count = len(ordered)
    steps = min(steps, count)
    return [(step / steps, ordered[ceil(count * step / steps) - 1]) for step in range(1, steps + 1)]


def steady(jobs: list[SimJob], warm_up: float) -> list[SimJob]:
    """The jobs without the first part of them, that found the cluster empty."""
    return jobs[int(len(jobs) * warm_up) :]


def point_of(jobs: Sequence[SimJob], about: Run, part: str = "") -> Point:
    """Sum up the jobs of one run, or a part of them."""
    ended = [job for job in jobs if job.has_ended]
    times = sorted(job.response_s for job in ended)
    ideal = percentile(sorted(job.ideal_s for job in ended), 50)
    p50 = percentile(times, 50)
    count = max(1, len(ended))
    return Point(
        **asdict(about),
        part=part,
        jobs=len(jobs),
        tasks=sum(len(job.durations) for job in jobs),
        p50_s=p50,
        p95_s=percentile(times, 95),
        p99_s=percentile(times, 99),
        mean_s=sum(times) / count,
        ideal_p50_s=ideal,
        slowdown_p50=p50 / ideal if ideal else 0.0,
        waited_p50_s=percentile(sorted(job.waited_s for job in ended), 50),
        zero_wait=sum(job.waited_s <= NO_WAIT_S for job in ended) / count,
        unfinished=len(jobs) - len(ended),
    )
