"""What `covey sparrow` does once its words are understood: draw, run, print."""

import json
from pathlib import Path
from typing import Any

from covey.bus.loop import run_loop
from covey.cli.call import Call
from covey.cli.chart import Chart, Series
from covey.cli.head import not_up
from covey.cli.output import counted, note, print_json, say
from covey.cli.sparrow.order import MACHINES_DEFAULT, Order
from covey.cli.sparrow.printing import comparison, details
from covey.client.sparrow.draw import DrawnJob, draw, from_lines, to_lines
from covey.client.sparrow.machines import ClusterMachines, Machines, VirtualMachines
from covey.client.sparrow.named import NamedSchedulers
from covey.client.sparrow.ran import Ran, Way
from covey.client.sparrow.stats import Figures, cdf, figures
from covey.client.sparrow.trial import Sparrow
from covey.errors import UsageError
from covey.model.phases import STEPS
from covey.scheduler.locks import head_is_up
from covey.settings import Settings


def run(call: Call, order: Order) -> None:
    """Run it, and print what came out.

    Raises:
        CoveyError: it cannot be done.
    """
    settings = call.settings()
    if settings.head:
        raise UsageError(
            "covey sparrow speaks to the agents itself: run it on the machine of the head, or"
            " with --machines"
        )
    saved = _read(order.trace_in) if order.trace_in is not None else None
    run_loop(_live(call, order, settings, saved))


async def _live(
    call: Call, order: Order, settings: Settings, saved: tuple[list[DrawnJob], bool] | None
) -> None:
    names = order.scheduler_names
    if names and not head_is_up(settings.state_dir):
        raise not_up(settings)
    machines = _machines(order, settings)
    named = NamedSchedulers(settings, names, note) if names else None
    async with Sparrow(machines, named or order.schedulers) as sparrow:
        jobs, in_turn = saved or (
            draw(order.ask, sparrow.slots),
            order.ask.arrival == "sequence",
        )
        if named is not None:
            named.check_users(job.user for job in jobs)
        if not any(job.at_s >= jobs[0].at_s + order.warmup_s for job in jobs) and not in_turn:
            raise _all_in_warmup(order)
        if order.trace_out is not None:
            order.trace_out.write_text(to_lines(jobs, in_turn=in_turn))
        if not call.as_json:
            say(f"{_where(machines, sparrow, order)}, {_what(jobs, order)}")
        if order.probe_ratio > sparrow.agents and named is None:
            note(
                f"--probe-ratio {order.probe_ratio:g} is more than the"
                f" {counted(sparrow.agents, 'machine')}: some get several per task"
            )
        await sparrow.warm_up(order.work)
        is_noted = order.is_compared and not call.as_json
        runs = await _runs(sparrow, jobs, order, in_turn=in_turn, is_noted=is_noted)
        agents, slots = sparrow.agents, sparrow.slots
    found = [figures(ran, slots, warmup_s=order.warmup_s) for ran in runs]
    if not found[0].jobs:
        raise _all_in_warmup(order)
    _write(order, runs, found)
    if call.as_json:
        lost = named.lost if named is not None else []
        print_json(_value(order, found, agents, slots) | {"schedulers_lost": lost})
    elif order.is_compared:
        comparison(found)
    else:
        details(found[0])


def _all_in_warmup(order: Order) -> UsageError:
    what = f"all jobs arrive within the --warmup of {order.warmup_s:g} s"
    return UsageError(f"{what}: give more JOBS, or a shorter one")


async def _runs(
    sparrow: Sparrow, jobs: list[DrawnJob], order: Order, *, in_turn: bool, is_noted: bool
) -> list[Ran]:
    runs: list[Ran] = []
    for policy in order.policies:
        way = Way(
            policy,
            order.probe_ratio,
            order.has_cancellation,
            order.is_multi_get,
            order.work,
            in_turn=in_turn,
        )
        runs.append(await sparrow.run(jobs, way))
        if is_noted:
            note(f"{policy} is done")
    return runs


def _write(order: Order, runs: list[Ran], found: list[Figures]) -> None:
    """The files that were asked for."""
    if order.phases_out is not None:
        order.phases_out.write_text(phase_lines(runs))
    if order.plot is not None:
        series = [Series(one.policy, cdf(one.responses_s)) for one in found]
        title = "Response times of jobs"
        order.plot.write_text(Chart(title, "seconds", "part of the jobs", series).to_svg())


def _machines(order: Order, settings: Settings) -> Machines:
    if order.machines is None and head_is_up(settings.state_dir):
        return ClusterMachines(settings)
    return VirtualMachines(settings, order.machines or MACHINES_DEFAULT, order.slots)


def _read(path: Path) -> tuple[list[DrawnJob], bool]:
    try:
        text = path.read_text()
    except UnicodeDecodeError:
        raise UsageError(f"{path} is no trace: covey sparrow --save-trace writes them") from None
    return from_lines(text, str(path))


def _where(machines: Machines, sparrow: Sparrow, order: Order) -> str:
    kind = "virtual machine" if machines.is_here else "machine"
    several = f", {order.schedulers} schedulers" if order.schedulers > 1 else ""
    if names := order.scheduler_names:
        several = f", {'scheduler' if len(names) == 1 else 'schedulers'} {', '.join(names)}"
    return f"{counted(sparrow.agents, kind)}, {counted(sparrow.slots, 'slot')}{several}"


def _what(jobs: list[DrawnJob], order: Order) -> str:
    tasks = sum(len(job.durations_s) for job in jobs)
    ask = order.ask
    if order.trace_in is not None:
        return f"{counted(len(jobs), 'job')} of {order.trace_in}, {counted(tasks, 'task')}"
    spread = f" ± {ask.spread_s:g}" if ask.spread_s else ""
    load = f", load {ask.load:g}" if ask.arrival == "poisson" else ""
    return (
        f"{counted(len(jobs), 'job')} × {counted(ask.tasks, 'task')} of {ask.duration_s:g}{spread}"
        f" s, {ask.arrival}{load}, seed {ask.seed}"
    )


def _value(order: Order, found: list[Figures], agents: int, slots: int) -> dict[str, Any]:
    value: dict[str, Any] = {
        **found[0].to_json(),
        "machines": agents,
        "slots": slots,
        "schedulers": order.schedulers,
        "scheduler_names": list(order.scheduler_names),
        # A draw out of a file has its own.
        "seed": order.ask.seed if order.trace_in is None else None,
        "arrival": order.ask.arrival if order.trace_in is None else None,
        "load": order.ask.load if order.ask.arrival == "poisson" else None,
        "probe_ratio": order.probe_ratio or "auto",
        "multi_get": order.is_multi_get,
    }
    if order.is_compared:
        value["policies"] = [one.to_json() for one in found]
    return value


def phase_lines(runs: list[Ran]) -> str:
    """The steps of all tasks, a line of JSON each, for `covey trace FILE`."""
    lines: list[str] = []
    for ran in runs:
        for at, job in enumerate(ran.jobs, 1):
            for task, phases in job.tasks:
                steps = {step: getattr(phases, step) for step in STEPS}
                named = {"policy": ran.way.policy, "job": at, "task": task, "agent": phases.agent}
                lines.append(json.dumps({**named, **steps}))
    return "\n".join(lines) + "\n"
