"""`status`, `up`, `down`, `ping`, and distsys's names for them."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import click

from covey.cli.call import Call, command
from covey.cli.duration import duration
from covey.cli.head import head_of, is_up, not_up, start_cluster, stop_cluster
from covey.cli.output import Column, counted, note, print_json, print_table, printable, say, size
from covey.cli.view import OPEN, ledger_of
from covey.errors import UsageError
from covey.settings import Settings

#: Virtual machines of `start_local` without a number: as many as distsys's port.conf had.
LOCAL_DEFAULT = 2
#: State of a machine that takes work (`core.roster.AgentState`).
READY = "ready"
#: More virtual machines than this on one computer are a slip of the finger.
LOCAL_MAX = 256

_COLUMNS = (
    Column("MACHINE"),
    Column("STATE"),
    Column("SLOTS", right=True),
    Column("BUSY", right=True),
    Column("LOAD", right=True),
    Column("MEM FREE", right=True),
    Column("DISK FREE", right=True),
    Column("PYTHON"),
    Column("SEEN", right=True),
    Column("PING", right=True),
    Column("WHY"),
)


@command("status", examples="covey status\ncovey status --json\ncovey --cluster lab status")
def status(call: Call) -> None:
    """Show the machines of the cluster, their slots and what runs.

    SEEN is how long ago a machine was last heard of, PING how long an echo took. Without a
    cluster it says so, shows how many slots this machine has and where that number comes from, and
    ends with 0.
    """
    settings = call.settings()
    if not is_up(settings):
        _status_of_this_machine(call, settings)
        return
    with head_of(settings) as head:
        answer = head.ask("status")
    if call.as_json:
        print_json({"cluster": settings.cluster, "up": True, **answer})
        return
    machines = _machines(answer)
    _say_summary(settings.cluster, machines)
    print_table(_COLUMNS, [_machine_row(machine) for machine in machines])
    jobs = cast("dict[str, int]", answer["jobs"])
    say(
        f"{counted(jobs['open'], 'job')} open, {counted(jobs['running'], 'task')} running,"
        f" {jobs['pending']:,} waiting"
    )
    for origin, names in _slot_origins(machines).items():
        say(f"slots of {', '.join(names)}: {origin}")
    if answer.get("trouble"):
        say(f"nothing can be recorded at the moment: {printable(str(answer['trouble']))}")


def _say_summary(cluster: str, machines: Sequence[Mapping[str, Any]]) -> None:
    slots = sum(int(machine["slots"]) for machine in machines if machine["state"] == READY)
    busy = sum(int(machine["busy"]) for machine in machines if machine["state"] == READY)
    away = sum(machine["state"] != READY for machine in machines)
    note_of_away = f" ({away} not ready)" if away else ""
    say(
        f"cluster {cluster} is up: {counted(len(machines), 'machine')}{note_of_away},"
        f" {counted(slots, 'slot')}, {busy:,} busy"
    )


def _slot_origins(machines: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Where the numbers of slots come from -> the machines of which that is true."""
    origins: dict[str, list[str]] = {}
    for machine in machines:
        if machine.get("slots_from"):
            origins.setdefault(str(machine["slots_from"]), []).append(str(machine["name"]))
    if len(origins) == 1:
        return {origin: ["each machine"] for origin in origins}
    return origins


def _status_of_this_machine(call: Call, settings: Settings) -> None:
    from covey.agent.cpus import default_slots

    slots, origin = default_slots()
    if call.as_json:
        print_json(
            {
                "cluster": settings.cluster,
                "up": False,
                "machines": [],
                "this_machine": {"slots": slots, "slots_from": origin},
            }
        )
        return
    say(str(not_up(settings)))
    say(f"this machine: {counted(slots, 'slot')} ({origin}); covey map uses them meanwhile")
    running = [row for row in ledger_of(settings).jobs(states=OPEN) if row.is_live]
    if running:
        say(f"{counted(len(running), 'job')} running here: covey jobs")


def _machine_row(machine: Mapping[str, Any]) -> list[str]:
    load = machine.get("load1")
    latency_s = machine.get("latency_s")
    return [
        str(machine.get("name", "")),
        str(machine.get("state", "")),
        str(machine.get("slots", "-")),
        str(machine.get("busy", "-")),
        "-" if load is None else f"{load:.2f}",
        size(machine.get("mem_free")),
        size(machine.get("disk_free")),
        str(machine.get("python") or "-"),
        duration(machine.get("heartbeat_age_s")),
        "-" if latency_s is None else _milliseconds(latency_s),
        str(machine.get("why") or ""),
    ]


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"


@command("up", examples="covey up --local 4\ncovey up --local 2 --slots 8")
@click.argument("hosts", nargs=-1, metavar="[HOST]...")
@click.option(
    "--local",
    is_flag=False,
    flag_value=LOCAL_DEFAULT,
    type=click.IntRange(1, LOCAL_MAX),
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
@click.argument("number", type=click.IntRange(1, LOCAL_MAX), default=LOCAL_DEFAULT)
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
    was_up = is_up(settings)
    answer = start_cluster(settings, number, slots)
    names = _names(answer) or [f"local{i}" for i in range(1, number + 1)]
    if answer.get("note"):
        note(f"covey: {answer['note']}")
    if call.as_json:
        print_json({"cluster": settings.cluster, "up": True, **answer})
    elif was_up:
        say(f"cluster {settings.cluster} was up; started again: {', '.join(names)}")
    elif line:
        total = sum(int(m.get("slots") or 0) for m in _machines(answer))
        say(
            line.format(
                cluster=settings.cluster,
                machines=f"{counted(len(names), 'machine')} ({_span(names)})",
                slots=counted(total, "slot"),
            )
        )
        say("see it: covey status   stop it: covey down")
    else:
        for name in names:
            say(f"Service started @ {name}")


def _machines(answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    found = answer.get("machines", [])
    if not isinstance(found, list):
        return []
    rows = cast("list[Any]", found)
    return [row if isinstance(row, dict) else {"name": str(row)} for row in rows]


def _names(answer: Mapping[str, Any]) -> list[str]:
    return [str(machine.get("name", "")) for machine in _machines(answer)]


def _span(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} … {names[-1]}"


@command("down", examples="covey down\ncovey --cluster lab down")
def down(call: Call) -> None:
    """Stop the cluster: its agents, their tasks, the head and the bus.

    Nothing of it is left running. The ledger stays, so `jobs`, `show` and `logs` still answer. When
    the cluster is not up, it says so and ends with 0.
    """
    answer = _stop(call)
    if answer is not None and not call.as_json:
        say(f"cluster {call.settings().cluster} is down")


@command("shutdown_local", examples="covey shutdown_local")
def shutdown_local(call: Call) -> None:
    """Stop the virtual machines: the same as `down`, in distsys's words."""
    answer = _stop(call)
    if answer is not None and not call.as_json:
        for name in _names(answer):
            say(f"Client {name} shutting down.")


def _stop(call: Call) -> dict[str, Any] | None:
    """The answer; None when it was not up (which has been said)."""
    settings = call.settings()
    answer = stop_cluster(settings)
    if call.as_json:
        print_json({"cluster": settings.cluster, "up": False, **answer})
    elif not answer["was_up"]:
        note(f"covey: cluster {settings.cluster} is not up")
    return answer if answer["was_up"] else None


@command("ping", examples="covey ping\ncovey ping --json")
def ping(call: Call) -> int:
    """Have each machine send an echo, and show how long it took.

    Ends with 1 when a machine does not answer. distsys asked the services of its local mode the
    same way.
    """
    settings = call.settings()
    with head_of(settings) as head:
        answer = head.ask("ping")
    machines = _machines(answer)
    silent = [machine for machine in machines if machine.get("latency_s") is None]
    if call.as_json:
        print_json({"cluster": settings.cluster, **answer})
    else:
        width = max((len(str(machine["name"])) for machine in machines), default=0)
        for machine in machines:
            name = str(machine["name"]).ljust(width)
            if machine.get("latency_s") is None:
                say(f"No echo from   {name}")
            else:
                say(f"Echo sent from {name}  {_milliseconds(machine['latency_s'])}")
    return 1 if silent else 0
