"""`covey down` and distsys's `shutdown_local`."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import click

from covey.cli.call import Call, command, limit_option
from covey.cli.consent import check_can_ask, with_consent
from covey.cli.offer import machine_names
from covey.cli.output import counted, note, print_json, printable, say, size
from covey.client.cluster import files_of
from covey.errors import UsageError
from covey.fleet.host import Host
from covey.fleet.inventory import read_inventory
from covey.fleet.limit import select
from covey.fleet.terminal import contact_at
from covey.head.lowering import Down, DownOrder, Lowered
from covey.head.lowering import down as lower
from covey.settings import Settings


@command(
    "down",
    examples="""
covey down
covey down lab3
covey down --purge
covey down --purge --data
covey --cluster lab down
""",
)
@click.argument("hosts", nargs=-1, metavar="[HOST]...", shell_complete=machine_names)
@limit_option
@click.option("--purge", is_flag=True, help="Remove archives, caches, logs, environments too.")
@click.option("--data", is_flag=True, help="With --purge: what tasks wrote too; asks for YES.")
@click.option("--yes", is_flag=True, help="With --data: do not ask.")
@click.option("--now", is_flag=True, help="Kill; nothing gets time to end by itself.")
def down(
    call: Call, hosts: Sequence[str], limit: str, *, purge: bool, data: bool, yes: bool, now: bool
) -> int:
    """Stop the cluster: its agents, their tasks, ssh connections, the head and the bus.

    Nothing of it is left running anywhere. The ledger stays, so `jobs`, `show` and `logs` still
    answer, and archives stay on machines, so that the next `up` is quick; --purge removes what
    covey put there. What was pushed to machines and what tasks wrote is never touched.

    Unless --data is given: it lists what would go, and asks for YES. These are the directories that
    covey made there for projects (output/P) and for tasks, with all that is in them; not what was
    there before, and not what tasks wrote elsewhere. After a purge without --data nobody knows any
    more which ones these were.

    With HOST or --limit only these machines leave and the cluster stays; tasks that ran there run
    elsewhere. A machine that cannot be reached is named, with what to do, and the command ends with
    1. When the cluster is not up, it says so and ends with 0.
    """
    if data and not purge:
        raise UsageError("--data goes with --purge only: covey down --purge --data")
    order = order_of(call.settings(), hosts, limit, purge=purge, now=now)
    return take_down(call, replace(order, is_data=data), asks=data and not yes)


def take_down(
    call: Call, order: DownOrder, *, asks: bool = False, even_if_none: bool = False
) -> int:
    """Take down what the order says, and tell; the exit code.

    asks: lists first what tasks wrote (see `with_consent`).
    """
    settings = call.settings()
    if asks:
        check_can_ask()
    if not settings.state_dir.is_dir():
        return _stop(call, settings, order)
    with contact_at(files_of(settings).control_dir(), asks_password=False) as contact:
        order = replace(order, contact=contact)
        if asks:
            order = with_consent(settings, order, even_if_none=even_if_none)
        return _stop(call, settings, order)


@command("shutdown_local", examples="covey shutdown_local")
def shutdown_local(call: Call) -> None:
    """Stop the virtual machines: the same as `down`, in distsys's words."""
    settings = call.settings()
    done = lower(settings, DownOrder())
    if call.as_json:
        _print_json(settings, done, is_up=False)
    elif not done.was_up:
        note(f"covey: cluster {settings.cluster} is not up")
    for machine in done.machines if not call.as_json else ():
        say(f"Client {machine.name} shutting down.")


def order_of(
    settings: Settings,
    words: Sequence[str],
    limit: str = "",
    *,
    purge: bool = False,
    now: bool = False,
) -> DownOrder:
    """What is to be taken down: the machines of `words` and of `limit`, else all.

    Raises:
        UsageError: a word or the limit fits no machine.
    """
    machines = files_of(settings).machines()
    only: tuple[str, ...] | None = None
    hosts: tuple[Host, ...] = ()
    if words:
        only, hosts = _named(settings, words, {machine.name for machine in machines})
    if limit:
        labels = [(m.name, m.labels) for m in machines]
        chosen = select(labels, limit)
        only = tuple(name for name in chosen if only is None or name in only)
    return DownOrder(only, hosts, is_purge=purge, is_now=now)


def _named(
    settings: Settings, words: Sequence[str], members: set[str]
) -> tuple[tuple[str, ...], tuple[Host, ...]]:
    """Machines of the cluster, and others that may have an agent of it all the same."""
    traces = {trace.host.name: trace.host for trace in files_of(settings).traces()}
    strangers = [word for word in words if word not in members]
    known = [traces[word] for word in strangers if word in traces]
    rest = [word for word in strangers if word not in traces]
    named = read_inventory(rest).hosts if rest else ()
    if local := [host.name for host in named if host.name.startswith("local")]:
        raise UsageError(f"there is no machine {local[0]} in cluster {settings.cluster}")
    inside = [host.name for host in named if host.name in members]
    outside = [host for host in named if host.name not in members]
    return (*(w for w in words if w in members), *inside), (*known, *outside)


def _stop(call: Call, settings: Settings, order: DownOrder) -> int:
    def show(machine: Lowered) -> None:
        if not machine.is_stopped and not call.as_json:
            failed = "" if machine.was_reached else " was not reached"
            note(f"covey: {machine.name}{failed}: {printable(machine.why)}")

    done = lower(settings, order, show)
    stays = order.only is not None
    if call.as_json:
        _print_json(settings, done, is_up=stays and done.was_up)
    elif stays:
        stopped = [machine.name for machine in done.machines if machine.is_stopped]
        if stopped:
            removed = f" ({_removed(done)})" if order.is_data else ""
            say(f"left: {', '.join(stopped)}{removed}")
    elif not done.was_up and not done.machines:
        note(f"covey: cluster {settings.cluster} is not up")
    else:
        say(f"cluster {settings.cluster} is down{_counts(done, order)}")
    return 1 if any(not machine.is_stopped for machine in done.machines) else 0


def _counts(done: Down, order: DownOrder) -> str:
    missed = sum(not machine.is_stopped for machine in done.machines)
    parts = [f"{counted(len(done.machines) - missed, 'machine')} purged"] if order.is_purge else []
    parts += [_removed(done)] if order.is_data else []
    parts += [f"{missed} not reached"] if missed else []
    return f" ({', '.join(parts)})" if parts else ""


def _removed(done: Down) -> str:
    held = [one for machine in done.machines for one in machine.removed]
    files = counted(sum(one.files for one in held), "file")
    return f"{files} of tasks removed, {size(sum(one.size_bytes for one in held))}"


def _print_json(settings: Settings, done: Down, *, is_up: bool) -> None:
    missed: list[dict[str, Any]] = [
        {"name": machine.name, "why": machine.why}
        for machine in done.machines
        if not machine.is_stopped
    ]
    names = [machine.name for machine in done.machines]
    removed = {
        machine.name: [printable(one.path) for one in machine.removed]
        for machine in done.machines
        if machine.removed
    }
    value: dict[str, Any] = {"was_up": done.was_up, "machines": names, "not_reached": missed}
    value |= {"data_removed": removed} if removed else {}
    print_json({"cluster": settings.cluster, "up": is_up, **value})
