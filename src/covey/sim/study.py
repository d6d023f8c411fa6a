"""One point of a figure: a policy, a load, a cluster; and which engine runs it."""

from dataclasses import dataclass, field, replace
from typing import Literal

from covey.core.placement import BatchSampling, PlacementPolicy, RandomPlacement
from covey.errors import UsageError
from covey.model import policy as p
from covey.model.job import JobSpec, Shape
from covey.sim.closed_forms import zero_wait
from covey.sim.cluster import Cluster
from covey.sim.kernel import Kernel
from covey.sim.links import Latency
from covey.sim.queues import Queues
from covey.sim.reference import Omniscient, WorkStealing
from covey.sim.report import Figures, Point, point_of, steady
from covey.sim.workload import SimJob, Workload

#: The cores of agents and schedulers, message for message; or the policies over bare queues.
Engine = Literal["cores", "policies"]

#: Virtual seconds between two looks whether all jobs have ended.
STEP_S = 1.0


@dataclass(frozen=True, slots=True)
class Study:
    """All that makes a point; the same study gives the same point anywhere."""

    policy: str = p.LATE_BINDING
    load: float = 0.8
    machines: int = 1000
    slots: int = 4
    workload: Workload = field(default_factory=Workload)
    latency: Latency = field(default_factory=Latency)
    probe_ratio: float = p.DEFAULT_PROBE_RATIO
    has_cancellation: bool = True
    engine: Engine = "policies"
    schedulers: int = 10
    seed: int = 1
    #: The part of the jobs, in the order of their arrival, that is run and not counted.
    warm_up: float = 0.0
    #: Seconds after the last arrival at which the run is cut off, whatever has not ended.
    cut_after_s: float = 3600.0


def run(study: Study) -> tuple[Point, list[SimJob]]:
    """Run one point; returns it, and the jobs it was made of."""
    load = study.load
    streams = tuple(replace(s, load=s.load * load) for s in study.workload.streams)
    workload = replace(study.workload, streams=streams)
    jobs = workload.draw(study.machines * study.slots, f"{study.seed} {load}")
    kernel = Kernel(f"{study.policy} {study.seed} {load}", study.latency.mean_s)
    cluster = _cluster(study, kernel)
    start = kernel.now
    for job in jobs:
        kernel.at(start + job.at, cluster.arrive, job)
    _run(kernel, jobs, start + jobs[-1].at + study.cut_after_s)
    tasks = sum(len(job.durations) for job in jobs)
    expected = zero_wait(study.policy, load, workload.tasks, study.probe_ratio, study.slots)
    figures = Figures(
        study.policy,
        load,
        study.engine,
        study.probe_ratio,
        study.has_cancellation,
        expected,
        cluster.messages / tasks,
        kernel.events,
    )
    counted = steady(jobs, study.warm_up)
    return point_of(counted, figures), counted


def _run(kernel: Kernel, jobs: list[SimJob], until: float) -> None:
    """Until all jobs have ended, but no longer: heartbeats would go on for ever."""
    last = len(jobs) - 1
    while kernel.now < until:
        kernel.run(min(until, kernel.now + STEP_S))
        while last >= 0 and jobs[last].ended_at >= 0.0:
            last -= 1
        if last < 0 or kernel.is_idle:
            return


def _cluster(study: Study, kernel: Kernel) -> Cluster | Queues | Omniscient | WorkStealing:
    size = (study.machines, study.slots)
    if study.policy == p.OMNISCIENT:
        return Omniscient(kernel, *size)
    if study.policy == p.WORK_STEALING:
        return WorkStealing(kernel, *size)
    if study.engine == "cores":
        spec = JobSpec(
            shapes=(Shape(),),
            policy=study.policy,
            probe_ratio=study.probe_ratio,
            has_cancellation=study.has_cancellation,
            is_multi_get=False,
        )
        return Cluster(kernel, *size, study.schedulers, study.latency, spec)
    policy = placement(study)
    return Queues(kernel, *size, study.latency, policy, has_cancellation=study.has_cancellation)


def placement(study: Study) -> PlacementPolicy:
    """The policy of a study."""
    if study.policy == p.RANDOM:
        return RandomPlacement()
    if study.policy == p.LATE_BINDING:
        return BatchSampling(study.probe_ratio)
    raise UsageError(study.policy)
