"""`covey status`: the machines of the cluster, and what runs on them."""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import click

from covey.cli.call import Call, command, limit_option
from covey.cli.duration import duration
from covey.cli.head import head_of, is_up, not_up
from covey.cli.output import Column, counted, note, print_json, print_table, printable, say, size
from covey.cli.ping import machines_of, milliseconds
from covey.cli.view import ledger_of
from covey.errors import InventoryError
from covey.fleet.limit import select
from covey.model.job import OPEN_STATES
from covey.settings import Settings

#: State of a machine that takes work (`core.agents.AgentState`).
READY = "ready"
#: States with which the command ends with 1: somebody should look.
BAD = frozenset({"lost", "unreachable"})
#: Between two pictures of --watch.
WATCH_EVERY_S = 1.0

#: Moves the cursor home and clears what is below, line by line, so that nothing flickers.
_HOME, _CLEAR = "\033[H", "\033[J"
_COLUMNS = (
    Column("MACHINE"),
    Column("STATE"),
    Column("SINCE", right=True),
    Column("SLOTS", right=True),
    Column("LOAD", right=True),
    Column("MEM FREE", right=True),
    Column("DISK FREE", right=True),
    Column("PYTHON"),
    Column("COVEY"),
    Column("SEEN", right=True),
    Column("PING", right=True),
    Column("WHY"),
)


@command(
    "status",
    examples="covey status\ncovey status --watch\ncovey status --json\ncovey status --limit 'lab*'",
)
@limit_option
@click.option("--watch", is_flag=True, help="Again each second, until Ctrl-C.")
@click.option("--plain", is_flag=True, help="As distsys: a line `Client: ADDRESS ON|OFF` for each.")
def status(call: Call, *, limit: str, watch: bool, plain: bool) -> int | None:
    r"""Show the machines of the cluster, their slots and what runs.

    \b
    joining      its agent was not heard of yet
    ready        takes work; draining: finishes what it has
    unreachable  silent for 3 s: nothing is sent there, and what runs there runs on
    lost         known dead, or silent for long: bring it back with covey up
    left         taken down
    no agent     named in covey.toml or $COVEY_HOSTS, its sshd answers: covey up

    SINCE is how long it has been so, SLOTS busy ones of all, SEEN how long ago it was last heard
    of, PING how long an echo took. Ends with 1 when a machine is lost or unreachable.

    Without a cluster it says so and shows how many slots this machine has and where that number
    comes from.
    """
    settings = call.settings()
    if plain:
        from covey.cli.plain import print_plain

        return print_plain(settings, limit)
    if not is_up(settings):
        return _status_without_head(call, settings, limit)
    with head_of(settings) as head:
        if not watch:
            return _show(call, settings, head.ask("status"), limit)
        while True:
            answer = head.ask("status")
            _show_again(lambda shown=answer: _show(call, settings, shown, limit))
            time.sleep(WATCH_EVERY_S)


def _show_again(show: Callable[[], object]) -> None:
    """A picture over the one before, on a terminal; else a block below it."""
    if sys.stdout.isatty():
        sys.stdout.write(_HOME + _CLEAR)
        show()
    else:
        show()
        say()
    sys.stdout.flush()


def _show(call: Call, settings: Settings, answer: dict[str, Any], limit: str) -> int:
    machines = machines_of(answer)
    machines += _strangers({str(machine["name"]) for machine in machines})
    machines = _limited(machines, limit)
    code = int(any(machine["state"] in BAD for machine in machines))
    if call.as_json:
        print_json({"cluster": settings.cluster, "up": True, **answer, "machines": machines})
        return code
    _say_summary(settings.cluster, machines)
    _print_machines(machines)
    jobs = cast("dict[str, int]", answer["jobs"])
    say(
        f"{counted(jobs['open'], 'job')} open, {counted(jobs['running'], 'task')} running,"
        f" {jobs['pending']:,} waiting"
    )
    for one in cast("list[dict[str, Any]]", answer.get("stuck") or []):
        tasks = counted(int(one["tasks"]), "task")
        verb = "waits" if int(one["tasks"]) == 1 else "wait"
        say(f"job {one['job']}: {tasks} {verb}: {printable(str(one['why']))}")
    _say_schedulers(answer)
    for origin, names in _slot_origins(machines).items():
        say(f"slots of {', '.join(names)}: {origin}")
    forged = int(answer.get("forged", 0)) + sum(
        int(machine.get("forged", 0)) for machine in machines
    )
    if forged:
        say(f"{counted(forged, 'message')} with a wrong signature, not obeyed: logs/head.log")
    stale = int(answer.get("stale", 0)) + sum(int(machine.get("stale", 0)) for machine in machines)
    if stale:
        say(f"{counted(stale, 'message')} that came late or again, not obeyed")
    for line in cast("list[str]", answer.get("notes") or []):
        say(printable(line))
    if answer.get("trouble"):
        say(f"nothing can be recorded at the moment: {printable(str(answer['trouble']))}")
    return code


def _say_schedulers(answer: Mapping[str, Any]) -> None:
    schedulers = cast("list[dict[str, Any]]", answer.get("schedulers") or [])
    if running := [str(one["name"]) for one in schedulers if one["state"] == "running"]:
        say(f"schedulers: {', '.join(running)}")
    for one in schedulers:
        if one["state"] != "running":
            again = f"covey scheduler --name {one['name']}"
            say(f"scheduler {one['name']} was killed; start it again with: {again}")


def _limited(machines: list[dict[str, Any]], limit: str) -> list[dict[str, Any]]:
    if not limit:
        return machines
    known = [(str(m["name"]), cast("list[str]", m.get("groups") or [])) for m in machines]
    chosen = set(select(known, limit))
    return [machine for machine in machines if machine["name"] in chosen]


def _strangers(members: set[str]) -> list[dict[str, Any]]:
    """Machines that covey.toml or $COVEY_HOSTS name and that are not in the cluster."""
    from covey.fleet.inventory import read_inventory

    try:
        named = read_inventory().hosts
    except InventoryError as error:
        # A slip in a list hides nothing of what is up.
        note(f"covey: {error}")
        return []
    hosts = [host for host in named if host.name not in members]
    if not hosts:
        return []
    from covey.cli.probing import probed

    return probed(hosts)


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


def _status_without_head(call: Call, settings: Settings, limit: str) -> int:
    from covey.agent.cpus import default_slots

    slots, origin = default_slots()
    machines = _limited(_strangers(set()), limit)
    code = int(any(machine["state"] in BAD for machine in machines))
    if call.as_json:
        value = {"machines": machines, "this_machine": {"slots": slots, "slots_from": origin}}
        print_json({"cluster": settings.cluster, "up": False, **value})
        return code
    say(str(not_up(settings)))
    if machines:
        _print_machines(machines)
    say(f"this machine: {counted(slots, 'slot')} ({origin}); covey map uses them meanwhile")
    running = [row for row in ledger_of(settings).jobs(states=OPEN_STATES) if row.is_live]
    if running:
        say(f"{counted(len(running), 'job')} running here: covey jobs")
    return code


def _print_machines(machines: Sequence[Mapping[str, Any]]) -> None:
    """Groups only where there are any; the reason stays last."""
    columns, rows = list(_COLUMNS), [_machine_row(machine) for machine in machines]
    if any(machine.get("groups") for machine in machines):
        columns.insert(-1, Column("GROUPS"))
        for machine, row in zip(machines, rows, strict=True):
            row.insert(-1, ",".join(machine.get("groups") or []) or "-")
    print_table(columns, rows)


def _machine_row(machine: Mapping[str, Any]) -> list[str]:
    load, latency_s = machine.get("load1"), machine.get("latency_s")
    is_known = bool(machine.get("version"))
    return [
        str(machine.get("name", "")),
        str(machine.get("state", "")),
        duration(machine.get("since_s")),
        f"{machine.get('busy', 0)}/{machine.get('slots', 0)}" if is_known else "-",
        f"{load:.2f}" if is_known and load is not None else "-",
        size(machine.get("mem_free") if is_known else None),
        size(machine.get("disk_free") if is_known else None),
        str(machine.get("python") or "-"),
        str(machine.get("version") or "-"),
        duration(machine.get("heartbeat_age_s")),
        "-" if latency_s is None else milliseconds(latency_s),
        str(machine.get("why") or ""),
    ]
