"""`covey sim`: scheduling policies on simulated clusters of thousands of machines."""

from collections.abc import Callable

import click

from covey.cli.call import Call, command
from covey.cli.sim.plan import Asked, planned
from covey.cli.sim.report import check_files, print_report, write_files
from covey.cli.sim.run import run_all
from covey.errors import UsageError
from covey.sim.figures import FIGURES
from covey.sim.workload import DURATIONS

_OPTIONS = (
    click.option("--machines", type=int, metavar="N", help="Machines of the cluster."),
    click.option("--slots", type=int, metavar="N", help="Slots of each machine."),
    click.option("--jobs", type=int, metavar="N", help="Jobs per point."),
    click.option("--tasks", type=int, metavar="N", help="Tasks of each job."),
    click.option("--loads", metavar="L,L…", help="Parts of all slots that are asked for [0.8]."),
    click.option("--policy", "policies", multiple=True, metavar="NAME", help="May be given again."),
    click.option("--probe-ratio", "ratios", metavar="D,D…", help="Probes per task; or auto [2]."),
    click.option(
        "--cancellation/--no-cancellation",
        default=True,
        help="Take reservations back that a job needs no more.",
    ),
    click.option("--seed", type=int, default=1, metavar="N", help="The same seed, the same bytes."),
    click.option(
        "--durations",
        type=click.Choice(DURATIONS),
        help="Spread across jobs, across tasks, or none.",
    ),
    click.option(
        "--mean", default="100ms", metavar="TIME", help="Mean duration of a task [100ms]."
    ),
    click.option("--trace", metavar="FILE", help="Durations from a file: seconds, one a line."),
    click.option(
        "--long-share", type=float, metavar="P", help="Part of the jobs, 1,000 × as long."
    ),
    click.option("--rtt", default="1ms", metavar="TIME", help="Round trip of a message [1ms]."),
    click.option(
        "--latency",
        type=click.Choice(["constant", "uniform", "exponential"]),
        default="constant",
        help="How the delay of messages is distributed.",
    ),
    click.option(
        "--late-share", type=float, default=0.0, metavar="P", help="Messages --late later."
    ),
    click.option("--late", default="100ms", metavar="TIME", help="How much later [100ms]."),
    click.option("--speeds", default="1", metavar="X,X…", help="Speeds of machines, in turn."),
    click.option(
        "--deaths", type=int, default=0, metavar="N", help="Machines that die, and return."
    ),
    click.option("--down", default="1s", metavar="TIME", help="How long they are away [1s]."),
    click.option(
        "--schedulers", type=int, default=10, metavar="N", help="They get jobs in turn [10]."
    ),
    click.option("--warm-up", type=float, default=0.1, metavar="P", help="Jobs not counted [0.1]."),
    click.option(
        "--engine",
        type=click.Choice(["auto", "cores", "policies"]),
        default="auto",
        help="The real cores message for message, or the same policies over bare queues.",
    ),
    click.option("--processes", type=int, metavar="N", help="Points at a time [one per core]."),
    click.option("--csv", "csv_file", metavar="FILE", help="Write the points there."),
    click.option("--svg", "svg_file", metavar="FILE", help="Draw the figure there."),
    click.option("--cdf", "cdf_directory", metavar="DIR", help="Write a distribution per point."),
)


def _with_options(function: Callable[..., int]) -> Callable[..., int]:
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


@command(
    "sim",
    examples="""
covey sim                                  the paper's policies at 80 % load
covey sim fig3 --svg fig3.svg              10,000 machines, minutes of work
covey sim fig3 --machines 500 --jobs 500   the same shape in seconds
covey sim fig9 --machines 1000 --jobs 2000 --csv ratios.csv
covey sim --policy batch --policy jsq --loads 0.5,0.9 --machines 50 --json
covey sim --engine cores --machines 50 --jobs 200 --deaths 5
""",
)
@click.argument("figure", required=False, default="", metavar=f"[{'|'.join(FIGURES)}]")
@_with_options
def sim(call: Call, figure: str, **options: object) -> int:
    r"""Compare scheduling policies in virtual time, on clusters that nobody has.

    Without a figure: RANDOM, CHOOSE_TWO, BATCH, BATCH+LATE_BINDING and the OMNISCIENT ideal on
    1,000 machines. WORK_STEALING, JSQ and LEAST_LOADED are there as well (--policy).

    \b
    fig3           response time over load, as figure 3 of the Sparrow paper
    fig9           the probe ratio from 1 to 3
    cancellation   with and without taking reservations back
    fairness       two users share the slots while the demand of one changes
    isolation      a high priority beside more and more of a low one
    heterogeneity  half of the jobs 1,000 × as long, on 16 and on 4 slots

    Small clusters run the very cores of agents and schedulers (engine `cores`); large ones the
    very placement policies over bare queues (`policies`), which is what the engine column says.
    """
    paths = {key: str(options.pop(key) or "") for key in ("csv_file", "svg_file", "cdf_directory")}
    processes = options.pop("processes")
    processes = processes if isinstance(processes, int) else None
    plan = planned(Asked(figure=figure, **options))  # pyright: ignore[reportArgumentType]
    if processes is not None and processes < 1:
        raise UsageError(f"--processes {processes}: give 1 or more")
    check_files(**paths)
    done = run_all(plan.studies, processes)
    write_files(plan, done, **paths)
    print_report(plan, done, as_json=call.as_json)
    return 0
