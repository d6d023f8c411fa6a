"""`covey up` and distsys's `start_local`."""

from collections.abc import Sequence
from typing import Any

import click

from covey.cli.call import Call, command
from covey.cli.output import counted, note, print_json, printable, say
from covey.errors import UsageError
from covey.head.raising import LOCAL_MACHINES_MAX, Raised, Up, UpOrder
from covey.head.raising import up as raise_up

#: Virtual machines of `start_local` without a number: as many as distsys's port.conf had.
LOCAL_DEFAULT = 2


@command("up", examples="covey up --local 4\ncovey up --local 2 --slots 8")
@click.argument("hosts", nargs=-1, metavar="[HOST]...")
@click.option(
    "--local",
    is_flag=False,
    flag_value=LOCAL_DEFAULT,
    type=click.IntRange(1, LOCAL_MACHINES_MAX),
    metavar="[N]",
    help="Start N (2) virtual machines local1…N on this one, each with its own directory.",
)
@click.option(
    "--slots",
    metavar="S",
    help="Slots of each: a number, 150% of the CPUs, or `physical` (default: the CPUs).",
)
def up(call: Call, hosts: Sequence[str], local: int | None, slots: str | None) -> None:
    """Start a cluster: a bus, a head and machines.

    It stays until `covey down`. While it is up, `covey map` and covey.Executor use it, and jobs
    outlive the terminal that began them. When it is up already, machines that died are started
    again; when none did, that is an error.
    """
    if hosts:
        raise UsageError(
            f"{printable(hosts[0])}: machines over ssh come with the next version;"
            " covey up --local N makes N virtual machines here"
        )
    if local is None:
        raise UsageError("say how many virtual machines — for example: covey up --local 4")
    _start(call, local, slots, "cluster {cluster} is up: {machines}, {slots}")


@command("start_local", examples="covey start_local\ncovey start_local 4\ncovey ping")
@click.argument("number", type=click.IntRange(1, LOCAL_MACHINES_MAX), default=LOCAL_DEFAULT)
def start_local(call: Call, number: int) -> None:
    """Start NUMBER (default 2) virtual machines on this one: the same as `up --local NUMBER`.

    distsys started its services in the foreground; here they stay until `shutdown_local`, and no
    terminal is occupied.
    """
    if not call.as_json:
        say(f"Starting {number} local clients...")
    _start(call, number, None, "")


def _start(call: Call, number: int, slots: str | None, line: str) -> None:
    settings = call.settings()
    done = raise_up(settings, UpOrder(local=number, slots=slots or ""))
    names = [machine.name for machine in done.machines]
    if done.note:
        note(f"covey: {done.note}")
    if call.as_json:
        print_json({"cluster": settings.cluster, "up": True, **value_of(done)})
    elif done.was_up:
        again = [machine.name for machine in done.machines if machine.state == "started"]
        say(f"cluster {settings.cluster} was up; started again: {', '.join(again)}")
    elif line:
        say(
            line.format(
                cluster=settings.cluster,
                machines=f"{counted(len(names), 'machine')} ({_span(names)})",
                slots=counted(sum(machine.slots for machine in done.machines), "slot"),
            )
        )
        say("see it: covey status   stop it: covey down")
    else:
        for name in names:
            say(f"Service started @ {name}")


def value_of(done: Up) -> dict[str, Any]:
    """How `up` went, as JSON shows it."""
    return {"machines": [_machine_value(machine) for machine in done.machines], "note": done.note}


def _machine_value(machine: Raised) -> dict[str, Any]:
    error = machine.error
    return {
        "name": machine.name,
        "state": machine.state,
        "kind": machine.kind,
        "started": machine.state in ("started", "replaced"),
        "login": machine.login,
        "platform": machine.platform,
        "python": machine.python,
        "slots": machine.slots,
        "elapsed_s": round(machine.elapsed_s, 3),
        "error": "" if error is None else error.message,
    }


def _span(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} … {names[-1]}"
