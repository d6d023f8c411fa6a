"""The figures that can be asked for by name: which runs make each of them."""

from dataclasses import dataclass, replace
from math import inf

from covey.model import policy as p
from covey.sim.study import Study
from covey.sim.workload import Stream, Workload

#: The loads of the simulations of the Sparrow authors.
PAPER_LOADS = (0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95)
#: Probe ratios of figure 9.
PAPER_RATIOS = (1.0, 1.1, 1.2, 1.5, 2.0, 3.0)
#: The four of the paper, and what they are held against.
PAPER_POLICIES = (p.RANDOM, p.CHOOSE_TWO, p.BATCH, p.LATE_BINDING, p.OMNISCIENT)
#: Demand of the low priority in §7.8, over a high one of HIGH_LOAD.
LOW_LOADS = (0.0, 0.25, 0.5, 0.75, 1.75)
HIGH_LOAD = 0.25
#: Demand of the second user in §7.7, phase by phase; the first wants all slots all the time.
SECOND_DEMANDS = (0.0, 0.25, 0.5, 0.25, 0.0)
#: Seconds of such a phase (the paper: 10), and between two looks at who has which slots.
PHASE_S = 1.0
LOOK_EVERY_S = 0.05
#: Seconds after the last arrival at which a run with more demand than slots is cut off.
OVERLOAD_CUT_S = 2.0
#: Slots per machine in §7.10.
HETEROGENEITY_SLOTS = (16, 4)


@dataclass(frozen=True, slots=True)
class Size:
    """What a figure takes unless the user says otherwise."""

    machines: int
    slots: int
    jobs: int
    tasks: int
    loads: tuple[float, ...]
    policies: tuple[str, ...]
    durations: str = "exp-jobs"


#: Name -> its default size. "" = no figure: just the runs that are asked for.
SIZES = {
    "": Size(1000, 4, 2000, 100, (0.8,), PAPER_POLICIES),
    "fig3": Size(10_000, 4, 10_000, 100, PAPER_LOADS, PAPER_POLICIES),
    "fig9": Size(10_000, 4, 10_000, 100, (0.8, 0.9), (p.LATE_BINDING,)),
    "cancellation": Size(10_000, 4, 10_000, 100, (0.8, 0.9, 0.95), (p.LATE_BINDING,)),
    "fairness": Size(25, 4, 1_000_000, 10, (1.0,), (p.LATE_BINDING,), "constant"),
    "isolation": Size(20, 16, 80, 10, (1.0,), (p.LATE_BINDING,), "constant"),
    "heterogeneity": Size(
        100, 16, 10_000, 10, (0.5, 0.7, 0.8), (p.LATE_BINDING, p.OMNISCIENT), "constant"
    ),
}
FIGURES = tuple(name for name in SIZES if name)
#: Figures about who is served first at an agent: only the cores know that.
NEED_CORES = frozenset({"fairness", "isolation"})


def studies(figure: str, common: Study, policies: tuple[str, ...], loads: tuple[float, ...],
            ratios: tuple[float, ...], *, is_slots_given: bool = False) -> list[Study]:  # fmt: skip
    """The runs of a figure, in the order in which they are told.

    Args:
        figure: a key of SIZES.
        common: what all runs have in common.
        policies: to compare.
        loads: to run each of them at.
        ratios: probe ratios.
        is_slots_given: somebody chose how many slots a machine has.
    """
    plain = [
        replace(common, policy=policy, load=load, probe_ratio=ratio)
        for load in loads
        for policy in policies
        for ratio in (ratios if policy not in _WITHOUT_RATIO else ratios[:1])
    ]
    match figure:
        case "cancellation":
            return [
                replace(study, has_cancellation=on, label="cancel" if on else "no cancel")
                for study in plain
                for on in (True, False)
            ]
        case "fairness":
            return [_fairness(study) for study in plain]
        case "isolation":
            return [_isolation(study, low) for study in plain for low in LOW_LOADS]
        case "heterogeneity":
            slots = (common.slots,) if is_slots_given else HETEROGENEITY_SLOTS
            return [_of_slots(study, count) for count in slots for study in plain]
        case _:
            return plain


_WITHOUT_RATIO = frozenset({p.RANDOM, p.JSQ, p.LEAST_LOADED, p.OMNISCIENT, p.WORK_STEALING})


def _of_slots(study: Study, slots: int) -> Study:
    """On machines of so many slots that have as many of them together."""
    machines = max(1, study.machines * study.slots // slots)
    return replace(study, slots=slots, machines=machines, label=f"{slots} slots")


def _fairness(study: Study) -> Study:
    phases = tuple(
        (PHASE_S, (Stream(1.0, "first"), Stream(demand, "second"))) for demand in SECOND_DEMANDS
    )
    workload = replace(study.workload, phases=phases)
    return replace(
        study, workload=workload, look_every_s=LOOK_EVERY_S, cut_after_s=0.0, label="share"
    )


def _isolation(study: Study, low: float) -> Study:
    """The high priority has as many jobs in each run, the low one what its demand makes of it."""
    streams = (Stream(HIGH_LOAD, "high", priority=1), Stream(low, "low"))
    workload: Workload = study.workload
    jobs = round(workload.jobs * (HIGH_LOAD + low) / HIGH_LOAD)
    workload = replace(workload, jobs=jobs, phases=((inf, streams),))
    return replace(study, workload=workload, cut_after_s=OVERLOAD_CUT_S, label=f"low {low:g}")
