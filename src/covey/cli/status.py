"""`covey status`: the machines of the cluster, and what runs on them."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import click

from covey.cli.call import Call, command
from covey.cli.duration import duration
from covey.cli.head import head_of, is_up, not_up
from covey.cli.output import Column, counted, print_json, print_table, printable, say, size
from covey.cli.ping import machines_of, milliseconds
from covey.cli.view import OPEN, ledger_of
from covey.settings import Settings

#: State of a machine that takes work (`core.roster.AgentState`).
READY = "ready"

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
@click.option("--plain", is_flag=True, help="As distsys: a line `Client: ADDRESS ON|OFF` for each.")
def status(call: Call, *, plain: bool) -> int | None:
    """Show the machines of the cluster, their slots and what runs.

    SEEN is how long ago a machine was last heard of, PING how long an echo took. Without a
    cluster it says so, shows how many slots this machine has and where that number comes from, and
    ends with 0.
    """
    settings = call.settings()
    if plain:
        from covey.cli.plain import print_plain

        return print_plain(settings)
    if not is_up(settings):
        _status_of_this_machine(call, settings)
        return None
    with head_of(settings) as head:
        answer = head.ask("status")
    if call.as_json:
        print_json({"cluster": settings.cluster, "up": True, **answer})
        return None
    machines = machines_of(answer)
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
    return None


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
        "-" if latency_s is None else milliseconds(latency_s),
        str(machine.get("why") or ""),
    ]
