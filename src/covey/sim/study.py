"""One run of a simulation: a policy, a load, a cluster; and which engine runs it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Literal

from covey.core.policies import policy_for
from covey.model import policy as p
from covey.model.job import JobSpec, Shape
from covey.sim.closed_forms import zero_wait
from covey.sim.cluster import Cluster
from covey.sim.faults import Faults
from covey.sim.kernel import Kernel
from covey.sim.links import Latency
from covey.sim.queues import Queues
from covey.sim.reference import Omniscient, WorkStealing
from covey.sim.report import Point, Run, point_of, steady
from covey.sim.workload import SimJob, Workload

#: The cores of agents and schedulers, message for message; or the policies over bare queues.
Engine = Literal["cores", "policies"]
#: (when, user -> slots that run its tasks)
Usage = list[tuple[float, dict[str, int]]]
#: Virtual seconds between two looks whether all jobs have ended.
STEP_S = 1.0


@dataclass(frozen=True, slots=True)
class Study:
    """All that makes a run; the same study gives the same result anywhere."""

    policy: str = p.LATE_BINDING
    #: The part of all slots that is asked for; where the workload says of itself how much it asks
    #: for, a factor of that.
    load: float = 0.8
    machines: int = 1000
    slots: int = 4
    workload: Workload = field(default_factory=Workload)
    latency: Latency = field(default_factory=Latency)
    #: d; 0 = automatic. In the engine `policies` the scheduler then knows the load that is offered.
    probe_ratio: float = p.DEFAULT_PROBE_RATIO
    has_cancellation: bool = True
    engine: Engine = "policies"
    schedulers: int = 10
    seed: int = 1
    #: Of machines, in turn: 2.0 does a task in half the time.
    speeds: tuple[float, ...] = (1.0,)
    faults: Faults = field(default_factory=Faults)
    #: The part of the jobs, in the order of their arrival, that is run and not counted.
    warm_up: float = 0.0
    #: Seconds after the last arrival at which the run is cut off, whatever has not ended.
    cut_after_s: float = inf
    #: Seconds between two looks at the slots that each user has; 0 = none (engine `cores` only).
    look_every_s: float = 0.0
    #: What tells it from the other runs of its figure.
    label: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """What a run gave: a point for each part of its jobs, their times, and who had which slots."""

    points: list[Point]
    #: part -> response times, ascending.
    responses: dict[str, list[float]]
    usage: Usage


def run(study: Study) -> Result:
    """Run it to its end."""
    workload = study.workload.at(study.load)
    jobs = workload.draw(study.machines * study.slots, f"{study.seed} {study.load}")
    kernel = Kernel(f"{study.policy} {study.seed} {study.load}", study.latency.mean_s)
    cluster = _cluster(study, kernel)
    start = kernel.now
    last = start + max((job.at for job in jobs), default=0.0)
    usage: Usage = []
    if isinstance(cluster, Cluster):
        study.faults.plan(cluster, kernel, start, last)
        if study.look_every_s:
            for step in range(int((last - start) / study.look_every_s)):
                kernel.at(start + step * study.look_every_s, _look(cluster, usage), kernel)
    for job in jobs:
        kernel.at(start + job.at, cluster.arrive, job)
    _run(kernel, jobs, last + study.cut_after_s)
    tasks = max(1, sum(len(job.durations) for job in jobs))
    about = Run(
        policy=study.policy,
        load=study.load,
        label=study.label,
        engine="policies" if isinstance(cluster, Omniscient | WorkStealing) else study.engine,
        machines=study.machines,
        slots=study.slots,
        probe_ratio=study.probe_ratio,
        has_cancellation=study.has_cancellation,
        zero_wait_expected=_expected(study),
        messages_per_task=cluster.messages / tasks,
        events=kernel.events,
    )
    parts = _parts(steady(jobs, study.warm_up))
    return Result(
        [point_of(part, about, name) for name, part in parts.items()],
        {
            name: sorted(job.response_s for job in part if job.has_ended)
            for name, part in parts.items()
        },
        usage,
    )


def _expected(study: Study) -> float | None:
    """What the closed form says, where its assumptions hold: jobs and machines all alike."""
    workload = study.workload
    is_alike = len(workload.phases) == 1 and len(workload.phases[0][1]) == 1
    if not is_alike or workload.long_share or len(set(study.speeds)) > 1 or not study.probe_ratio:
        return None
    return zero_wait(study.policy, study.load, workload.tasks, study.probe_ratio, study.slots)


def _look(cluster: Cluster, usage: Usage) -> Callable[[Kernel], None]:
    def look(kernel: Kernel) -> None:
        usage.append((kernel.now, cluster.busy()))

    return look


def _parts(jobs: Sequence[SimJob]) -> dict[str, list[SimJob]]:
    """By user, and by length: where jobs are of several kinds, each kind is told of apart."""
    parts: dict[str, list[SimJob]] = {}
    has_long = any(job.is_long for job in jobs)
    for job in jobs:
        length = ("long" if job.is_long else "short") if has_long else ""
        parts.setdefault(job.user or length, []).append(job)
    return {name: parts[name] for name in sorted(parts)}


def _run(kernel: Kernel, jobs: list[SimJob], until: float) -> None:
    """Until all jobs have ended, but no longer: heartbeats would go on for ever."""
    left = len(jobs)
    while left and kernel.now < until and not kernel.is_idle:
        kernel.run(min(until, kernel.now + STEP_S))
        while left and jobs[left - 1].has_ended:
            left -= 1


def _cluster(study: Study, kernel: Kernel) -> Cluster | Queues | Omniscient | WorkStealing:
    size = (study.machines, study.slots)
    if study.policy == p.OMNISCIENT:
        return Omniscient(kernel, *size)
    if study.policy == p.WORK_STEALING:
        return WorkStealing(kernel, *size)
    spec = JobSpec(
        shapes=(Shape(),),
        policy=study.policy,
        probe_ratio=study.probe_ratio,
        has_cancellation=study.has_cancellation,
        is_multi_get=False,
    )
    policy = policy_for(spec, study.load)
    if study.engine == "cores":
        # A grant; or a probe and its answer before it; or a reservation and its claim.
        traits = policy.traits
        path_s = study.latency.mean_s * (1 if traits.is_early and not traits.asks else 3)
        parts = (study.schedulers, study.latency, spec, path_s)
        return Cluster(kernel, *size, study.speeds, *parts)
    return Queues(
        kernel,
        *size,
        study.speeds,
        study.latency,
        policy,
        has_cancellation=study.has_cancellation,
    )
