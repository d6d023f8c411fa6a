"""Sparrow's figures on real agents: as many virtual machines as this computer carries.

All agents, their children and the bus share its processors; sleeping tasks take none.
"""

from bisect import bisect_right

from covey.bus.loop import run_loop
from covey.client.sparrow.draw import Ask, DrawnJob, User, draw
from covey.client.sparrow.machines import VirtualMachines
from covey.client.sparrow.ran import Ran, Way
from covey.client.sparrow.stats import figures
from covey.client.sparrow.trial import Sparrow
from covey.fleet.call_settings import settings_of_call

#: Agents, and slots of each.
AGENTS, SLOTS = 20, 2
#: Seconds that a task sleeps.
TASK_S = 0.1
#: Tasks of a job. Larger jobs need a larger part of so few slots at once: in virtual time, where
#: messages take 1 ms and no processor, 1 gives 1.08 of the ideal and 4 give 1.31 (`covey sim`).
TASKS = 1
#: Of all slots.
LOAD = 0.8
#: The part of the slots that high and low priority want (§7.8).
HIGH_LOAD, LOW_LOAD = 0.25, 1.75
#: Tasks of their jobs.
PRIORITY_TASKS = 4
#: The part that the second user wants, step by step (§7.7), and how long each step takes.
DEMANDS, STEP_S = (0.0, 0.25, 0.5, 0.25, 0.0), 6.0
#: Where more is wanted than there is, tasks are longer: the shares are looked at, not the pace.
LONG_TASK_S = 0.5

_LATE = Way("BATCH+LATE_BINDING")


def late_binding(jobs: int) -> dict[str, float]:
    """Response over ideal, and the delays, of batch sampling with late binding (§7.2, §7.3)."""
    ask = Ask(jobs, TASKS, TASK_S, seed=jobs, arrival="poisson", load=LOAD)
    (ran,) = _run([draw(ask, AGENTS * SLOTS)])
    found = figures(ran, AGENTS * SLOTS, warmup_s=1.0)
    slowdown, scheduling, wait = found.slowdown[0], found.scheduling.p50_s, found.wait.p50_s
    assert slowdown is not None
    assert scheduling is not None
    assert wait is not None
    return {"value": slowdown, "scheduling_s": scheduling, "wait_s": wait}


def isolation(jobs: int) -> dict[str, float]:
    """How much low priority at 1.75 times the capacity inflates high priority (§7.8)."""
    high, low = User("high", 1.0, 1, HIGH_LOAD), User("low", 1.0, 0, LOW_LOAD)
    slots = AGENTS * SLOTS
    alone = draw(
        Ask(jobs, PRIORITY_TASKS, LONG_TASK_S, seed=1, arrival="poisson", users=(high,)), slots
    )
    until_s = alone[-1].at_s
    below = Ask(
        jobs * 100, TASKS, LONG_TASK_S, seed=2, arrival="poisson", users=(low,), until_s=until_s
    )
    both = sorted([*alone, *draw(below, slots)], key=lambda job: job.at_s)
    quiet, crowded = _run([alone, both])
    first = figures(quiet, slots).users["high"].p50_s
    second = figures(crowded, slots).users["high"].p50_s
    assert first is not None
    assert second is not None
    return {"value": second / first, "alone_s": first, "beside_s": second}


def fairness(_jobs: int) -> dict[str, float]:
    """How far the slots that a user gets are from what he wants, at most (§7.7)."""
    slots = AGENTS * SLOTS
    first = User("first", load=1.0)
    total_s = STEP_S * len(DEMANDS)
    ask = Ask(100_000, 1, LONG_TASK_S, arrival="poisson", users=(first,), until_s=total_s)
    jobs = draw(ask, slots)
    for step, demand in enumerate(DEMANDS):
        if demand:
            second = User("second", load=demand)
            part = Ask(
                100_000,
                1,
                LONG_TASK_S,
                seed=step,
                arrival="poisson",
                users=(second,),
                until_s=STEP_S,
            )
            jobs += [
                DrawnJob(job.at_s + step * STEP_S, job.durations_s, second)
                for job in draw(part, slots)
            ]
    (ran,) = _run([sorted(jobs, key=lambda job: job.at_s)])
    shares = _shares(ran, "second", slots)
    worst = max(abs(got - demand) for got, demand in zip(shares, DEMANDS, strict=True))
    return {"value": worst, **{f"share_{at}": share for at, share in enumerate(shares, 1)}}


def _shares(ran: Ran, user: str, slots: int) -> list[float]:
    """The part of the slots that ran tasks of the user, in the second half of each step."""
    begun = min(job.due for job in ran.jobs)
    spans = [
        (phases.started, phases.ended)
        for job in ran.jobs
        if job.drawn.user.name == user
        for _, phases in job.tasks
    ]
    starts = sorted(start for start, _ in spans)
    ends = sorted(end for _, end in spans)
    shares: list[float] = []
    for step in range(len(DEMANDS)):
        looks = [begun + STEP_S * (step + 0.5 + 0.01 * at) for at in range(50)]
        running = [bisect_right(starts, look) - bisect_right(ends, look) for look in looks]
        shares.append(sum(running) / len(running) / slots)
    return shares


def _run(draws: list[list[DrawnJob]]) -> list[Ran]:
    async def live() -> list[Ran]:
        machines = VirtualMachines(settings_of_call(None), AGENTS, SLOTS)
        async with Sparrow(machines) as sparrow:
            await sparrow.warm_up("sleep")
            return [await sparrow.run(jobs, _LATE) for jobs in draws]

    return run_loop(live())
