"""`covey sparrow`: jobs of tasks that sleep or spin, under each of Sparrow's placement policies."""

import re
from pathlib import Path
from typing import Any

import click

from covey.cli.call import Call, command
from covey.cli.duration import parse_duration
from covey.cli.numbers import Number, NumbersCommand, as_written
from covey.cli.sparrow.order import MACHINES_DEFAULT, SLOTS_DEFAULT, Order
from covey.cli.writing import check_writable
from covey.client.sparrow.draw import ARRIVALS, Arrival, Ask, User, users_of
from covey.client.sparrow.machines import MACHINES_MAX, SLOTS_MAX
from covey.errors import UsageError
from covey.model.knobs import policy_named, probe_ratio_of
from covey.model.policy import DEFAULT_PROBE_RATIO, POLICIES

#: Most schedulers of one call.
SCHEDULERS_MAX = 100
#: Kinds of tasks.
WORKS = ("sleep", "cpu", "memory")
#: Words that mean a number of schedulers, maybe a wrong one, and no names.
NUMBER = re.compile(r"[-+\N{MINUS SIGN}]?\d[\d.]*$")

_WHOLE, _REAL = Number(is_whole=True), Number()


@command(
    "sparrow",
    cls=NumbersCommand,
    examples="""
covey sparrow BATCH+LATE_BINDING 10 10 1
covey sparrow BATCH 200 10 0.1 0.05 --machines 20 --slots 2 --load 0.8
covey sparrow RANDOM 200 10 0.1 --load 0.8 --compare --plot cdf.svg
covey sparrow BATCH+LATE_BINDING 500 10 0.1 --users high:1:1:0.25,low:1:0:1.75
""",
)
@click.argument("method")
@click.argument("jobs", type=_WHOLE, required=False, metavar="JOBS")
@click.argument("tasks", type=_WHOLE, required=False, metavar="TASKS")
@click.argument("duration", type=_REAL, required=False, metavar="DURATION")
@click.argument("spread", type=_REAL, required=False, metavar="[SPREAD]")
@click.option(
    "--machines", type=_WHOLE, metavar="N", help="So many virtual machines of its own (default 10)."
)
@click.option("--slots", type=_WHOLE, metavar="N", help="Slots of each of them (default 1).")
@click.option("--work", type=click.Choice(WORKS), default="sleep", help="What a task does.")
@click.option("--seed", type=_WHOLE, metavar="N", help="Of the draw (default 0).")
@click.option("--arrival", type=click.Choice(ARRIVALS), help="How jobs arrive; see above.")
@click.option("--load", type=_REAL, metavar="PART", help="Of all slots, e.g. 0.8; means poisson.")
@click.option("--warmup", metavar="TIME", help="Jobs of the first so long are not counted.")
@click.option(
    "--duration", "until", metavar="TIME", help="Jobs arrive for so long; JOBS at most (poisson)."
)
@click.option(
    "--users", metavar="LIST", help="a:2:0,b:1:1 = name:weight:priority, and maybe :load."
)
@click.option("--compare", is_flag=True, help="Every policy on the same draw.")
@click.option(
    "--probe-ratio", metavar="D", help="Probes or reservations per task (default 2), or auto."
)
@click.option("--cancellation/--no-cancellation", default=True, help="Take back what is left over.")
@click.option("--multi-get", is_flag=True, help="Claim several tasks at once, as covey map does.")
@click.option(
    "--schedulers", default="1", metavar="N|NAMES", help="So many (default 1), or s1,s2; see above."
)
@click.option("--save-trace", type=Path, metavar="FILE", help="Write the draw.")
@click.option("--trace", type=Path, metavar="FILE", help="Use a written draw (METHOD is enough).")
@click.option("--plot", type=Path, metavar="FILE.svg", help="Draw the response times.")
@click.option("--phases", type=Path, metavar="FILE", help="Write the steps of tasks, for trace.")
def sparrow(call: Call, **words: Any) -> None:
    r"""Run JOBS jobs of TASKS tasks that last DURATION seconds, placed by METHOD.

    \b
    RANDOM              each task on a random machine
    CHOOSE_TWO          per task, the less loaded of d probed machines
    BATCH               m tasks on the least loaded of d·m probed machines
    BATCH+LATE_BINDING  d·m reservations; whichever slot is free first asks
    JSQ                 each task to the shortest queue of all
    LEAST_LOADED        to the least loaded by measured speed

    Each task lasts DURATION ± SPREAD, drawn once for all policies. Jobs arrive together
    (default), in sequence, or by a Poisson process that makes up a --load. Prints response
    times beside those of an ideal cluster of as many slots that knows everything and whose
    messages take no time. --machines and --slots start virtual machines of its own; without
    them, the cluster that is up is used. The policies run as in the paper: one task per
    claim, nothing granted on credit, unless --multi-get is given. A larger priority goes first.

    Jobs are dealt out in turn to N --schedulers of its own, none knowing of the others, or to
    running ones by name (covey scheduler --name s1); if one of these dies, they go on at the next.
    """
    order = order_of(words)
    # Late: a wrong command line need not wait for what a run takes.
    from covey.cli.sparrow.run import run

    run(call, order)


def order_of(words: dict[str, Any]) -> Order:
    """What the words ask for.

    Raises:
        UsageError: something makes no sense.
    """
    method = policy_named(words["method"])
    _check_trace(words)
    users = (User(),) if words["users"] is None else users_of(words["users"])
    has_load = words["load"] is not None or any(user.load is not None for user in users)
    arrival: Arrival = words["arrival"] or ("poisson" if has_load else "together")
    until_s = _time(words["until"])
    if words["until"] is not None and not until_s:
        raise UsageError(f"--duration is {words['until']}: no job arrives in no time")
    if arrival != "poisson" and (has_load or until_s):
        raise UsageError(f"--load and --duration are for --arrival poisson, not {arrival}")
    ask = Ask(
        *_size(words),
        words["spread"] or 0.0,
        words["seed"] or 0,
        arrival,
        0.8 if words["load"] is None else words["load"],
        users,
        until_s,
    )
    ask.check()
    machines, slots = words["machines"], words["slots"]
    _within("--machines", machines, MACHINES_MAX)
    _within("--slots", slots, SLOTS_MAX)
    ratio = words["probe_ratio"]
    count, names = _schedulers(words["schedulers"])
    is_private = machines is not None or slots is not None
    if names and is_private:
        raise UsageError(
            f"--schedulers {','.join(names)}: they run in the cluster that is up, so leave out"
            " --machines and --slots, or give a number of schedulers"
        )
    for option in ("--save-trace", "--plot", "--phases"):
        check_writable(option, words[option[2:].replace("-", "_")])
    every = (method, *(name for name in POLICIES if name != method))
    return Order(
        policies=every if words["compare"] else (method,),
        ask=ask,
        machines=(machines or MACHINES_DEFAULT) if is_private else None,
        slots=slots or SLOTS_DEFAULT,
        schedulers=count,
        scheduler_names=names,
        work=words["work"],
        probe_ratio=DEFAULT_PROBE_RATIO if ratio is None else probe_ratio_of(ratio),
        has_cancellation=words["cancellation"],
        is_multi_get=words["multi_get"],
        warmup_s=_time(words["warmup"]),
        trace_in=words["trace"],
        trace_out=words["save_trace"],
        plot=words["plot"],
        phases_out=words["phases"],
        is_compared=words["compare"],
    )


#: What a written draw says: the parameter, and its name on the command line.
_DRAWN = {
    **{name: name.upper() for name in ("jobs", "tasks", "duration", "spread")},
    **{name: f"--{name}" for name in ("seed", "arrival", "load", "users")},
    "until": "--duration",
}


def _check_trace(words: dict[str, Any]) -> None:
    """Refuse beside --trace what the trace says.

    Raises:
        UsageError: something of it is given.
    """
    given = [word for name, word in _DRAWN.items() if words[name] is not None]
    if words["trace"] is not None and given:
        it = "it" if len(given) == 1 else "them"
        raise UsageError(
            f"{', '.join(given)}: --trace {words['trace']} says already when which user's jobs"
            f" arrive, and how long their tasks take; leave {it} out"
        )


def _size(words: dict[str, Any]) -> tuple[int, int, float]:
    """JOBS, TASKS and DURATION; a draw that was written has its own.

    Raises:
        UsageError: one is missing.
    """
    given: list[Any] = []
    for name in ("jobs", "tasks", "duration"):
        if words[name] is None and words["trace"] is None:
            raise UsageError(f"missing argument '{name.upper()}' — see: covey sparrow --help")
        given.append(1 if words[name] is None else words[name])
    return given[0], given[1], given[2]


def _time(word: str | None) -> float:
    """Seconds; a minus is shown as it was written."""
    return 0.0 if word is None else parse_duration(as_written(word))


def _within(name: str, number: int | None, most: int) -> None:
    if number is not None and not 1 <= number <= most:
        raise UsageError(f"{name} is {number}: give 1 to {most}")


def _schedulers(word: str) -> tuple[int, tuple[str, ...]]:
    """How many, and their names if they have any."""
    names = tuple(dict.fromkeys(name.strip() for name in word.split(",")))
    if not all(names):
        raise UsageError(f"--schedulers is {word!r}: a name is missing; write s1,s2, or a number")
    if not NUMBER.match(word):
        return len(names), names
    try:
        count = int(Number(is_whole=True).convert(word, None, None))
    except UsageError:
        raise UsageError(f"--schedulers is {word!r}: give a whole number, or names") from None
    _within("--schedulers", count, SCHEDULERS_MAX)
    return count, ()
