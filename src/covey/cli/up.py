"""`covey up` and distsys's `start_local`."""

import json
from collections.abc import Sequence
from typing import Any

import click

from covey.cli.call import Call, accept_new_option, command, hosts_file_option, limit_option
from covey.cli.offer import host_names
from covey.cli.output import counted, note, print_json, printable, say
from covey.cli.raise_lines import MachineLines, summary_of, taken_up
from covey.cli.signals import ended_by_signals
from covey.client.cluster import Machine, files_of
from covey.errors import CoveyError, UsageError
from covey.fleet.config import read_users
from covey.fleet.contact import Contact, root_warning
from covey.fleet.fields import read_group
from covey.fleet.host import Host
from covey.fleet.inventory import Inventory, read_inventory
from covey.fleet.terminal import contact_at
from covey.head.raising import LOCAL_MACHINES_MAX, Raised, Up, UpOrder
from covey.head.raising import up as raise_up
from covey.head.reason import explained
from covey.model.users import Users
from covey.settings import Settings

#: Virtual machines of `start_local` without a number: as many as distsys's port.conf had.
LOCAL_DEFAULT = 2


@command(
    "up",
    examples="""
covey up lab1 lab2 8/pi@rack:2222
covey up -H hosts.txt --limit '!lab3'
covey up
covey up --local 4 --slots 1
""",
)
@click.argument("hosts", nargs=-1, metavar="[HOST]...", shell_complete=host_names)
@hosts_file_option
@limit_option
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
    default="",
    help="Slots of each: a number, 150% of the CPUs, or `physical` (default: the CPUs).",
)
@click.option(
    "--group",
    "groups",
    metavar="G[=PATTERN]",
    multiple=True,
    help="Put them, or those of PATTERN ('local1,local2'), into group G: a label for tasks.",
)
@click.option("--users", "users_text", default="", hidden=True)
@click.option("--persist", is_flag=True, help="Come back after a restart: agents and head.")
@click.option("--now", is_flag=True, help="Replace agents of another version at once.")
@click.option("--rollback", is_flag=True, help="Take the covey that machines ran before.")
@click.option("--no-start", is_flag=True, help="Send the archive, start nothing.")
@click.option("--ask-password", is_flag=True, help="Log in by password once, copy your key there.")
@accept_new_option
def up(call: Call, hosts: Sequence[str], **chosen: Any) -> int:
    """Bring up a cluster: a bus, a head here, and an agent on each machine.

    HOST is what ssh is called with: a name of ~/.ssh/config, user@host:port; `8/` before it gives
    it 8 slots. Nothing needs to be installed there but sshd and Python 3.11 or newer. Without HOST
    the machines are those of $COVEY_HOSTS or covey.toml and those that are known already.

    Machines are brought up in parallel, each by itself: one that cannot be reached delays no other,
    and its line says why and what to do. Doing it again repairs what died and adds what is new.
    Agents of another version are replaced one by one, after the tasks that they run.

    The cluster stays until `covey down`. While it is up, `covey map` and covey.Executor use it, and
    jobs outlive the terminal that began them. What users may ask for there is [users] of covey.toml
    as it is now; up again takes a new one. Ends with 1 when a machine did not come up.
    """
    return _bring_up(call, hosts, chosen)


def bring_up(
    call: Call, hosts: Sequence[str], files: Sequence[str], limit: str, *, no_start: bool
) -> int:
    """What `up` does with hosts, lists and a limit, and no other option."""
    chosen: dict[str, Any] = {
        "hosts_files": tuple(files),
        "limit": limit,
        "local": None,
        "slots": "",
        "no_start": no_start,
    }
    return _bring_up(call, hosts, chosen)


def _bring_up(call: Call, hosts: Sequence[str], chosen: dict[str, Any]) -> int:
    settings = call.settings()
    named, notes = _hosts(settings, hosts, chosen)
    for line in notes:
        note(f"covey: {line}")
    asks = bool(chosen.get("ask_password"))
    control_dir = files_of(settings).control_dir()
    with ended_by_signals(), contact_at(control_dir, asks_password=asks) as contact:
        return _raise(call, settings, _order(chosen, hosts, named, contact))


def _order(
    chosen: dict[str, Any],
    hosts: Sequence[str],
    named: tuple[Host, ...],
    contact: Contact | None,
) -> UpOrder:
    return UpOrder(
        hosts=named,
        local=chosen["local"],
        slots=chosen["slots"],
        groups=tuple(_group(text) for text in chosen.get("groups") or ()),
        users=_users(str(chosen.get("users_text") or "")),
        is_all=not hosts and not chosen["hosts_files"] and not chosen["limit"],
        is_persistent=bool(chosen.get("persist")),
        is_now=bool(chosen.get("now")),
        is_rollback=bool(chosen.get("rollback")),
        is_starting=not chosen.get("no_start"),
        accepts_new_host_keys=bool(chosen.get("accept_new_host_keys")),
        contact=contact,
    )


def _group(text: str) -> tuple[str, str]:
    group, _, pattern = text.partition("=")
    try:
        return read_group(group), pattern.strip()
    except ValueError as error:
        raise UsageError(f"--group {text}: {error}") from error


def _users(text: str) -> Users | None:
    """[users] of covey.toml here, or of the machine that called us (`--head`)."""
    return Users.from_wire(json.loads(text)) if text else read_users()


@command("start_local", examples="covey start_local\ncovey start_local 4\ncovey ping")
@click.argument("number", type=click.IntRange(1, LOCAL_MACHINES_MAX), default=LOCAL_DEFAULT)
def start_local(call: Call, number: int) -> None:
    """Start NUMBER (default 2) virtual machines on this one: the same as `up --local NUMBER`.

    distsys started its services in the foreground; here they stay until `shutdown_local`, and no
    terminal is occupied.
    """
    if not call.as_json:
        say(f"Starting {number} local clients...")
    with ended_by_signals():
        done = raise_up(call.settings(), UpOrder(local=number))
    if done.note:
        note(f"covey: {done.note}")
    if call.as_json:
        _print_json(call, done)
        return
    for machine in done.machines:
        say(f"Service started @ {machine.name}")


# ---------------------------------------------------------------- which machines


def _hosts(
    settings: Settings, words: Sequence[str], chosen: dict[str, Any]
) -> tuple[tuple[Host, ...], list[str]]:
    """The machines over ssh that are meant, and what is to be said of the lists."""
    files, limit = chosen["hosts_files"], chosen["limit"]
    known = {m.name: m for m in files_of(settings).machines() if m.kind == "ssh"}
    is_named = bool(words or files)
    if chosen["local"] is not None and not is_named:
        return (), []
    inventory = read_inventory(words, files, slots=chosen["slots"])
    hosts = {host.name: _as_known(host, known) for host in inventory.hosts}
    if not is_named:
        hosts = {name: machine.host for name, machine in known.items() if machine.host} | hosts
    limited = Inventory(tuple(hosts.values())).limited(limit).hosts
    return limited, [str(one) for one in inventory.notes]


def _as_known(host: Host, known: dict[str, Machine]) -> Host:
    """`covey up lab3` means the lab3 that is known, with all that was said of it."""
    machine = known.get(host.name)
    if machine is None or machine.host is None or host.user or host.port:
        return host
    is_bare = host.address in (host.name, machine.host.address)
    return machine.host if is_bare and not host.slots else host


# ---------------------------------------------------------------- what is said


def _raise(call: Call, settings: Settings, order: UpOrder) -> int:
    lines = MachineLines([host.name for host in order.hosts], is_quiet=call.as_json)
    done = raise_up(settings, order, lines.show, lines.waits)
    if done.note:
        note(f"covey: {done.note}")
    if not done.was_up and order.is_starting and (left := taken_up(settings)):
        note(f"covey: {left}")
    if warning := root_warning([machine.name for machine in done.machines if machine.is_root]):
        note(f"covey: {warning}")
    failed = [machine.name for machine in done.machines if machine.state == "failed"]
    if call.as_json:
        _print_json(call, done)
    elif not order.hosts and all(machine.kind == "local" for machine in done.machines):
        _say_local(settings, order, done)
    else:
        say(summary_of(done))
        if len(failed) < len(done.machines) and order.is_starting:
            say("see it: covey status   stop it: covey down")
    return 1 if failed else 0


def _say_local(settings: Settings, order: UpOrder, done: Up) -> None:
    names = [machine.name for machine in done.machines]
    if done.was_up:
        again = [machine.name for machine in done.machines if machine.state == "started"]
        did = [f"started again: {', '.join(again)}"] if again else []
        did += [f"group {group} is {pattern or 'all'}" for group, pattern in order.groups]
        say(f"cluster {settings.cluster} was up; {'; '.join(did) or 'nothing to be done'}")
        return
    machines = f"{counted(len(names), 'machine')} ({_span(names)})"
    slots = counted(sum(machine.slots for machine in done.machines), "slot")
    say(f"cluster {settings.cluster} is up: {machines}, {slots}")
    say("see it: covey status   stop it: covey down")


def _print_json(call: Call, done: Up) -> None:
    machines = [_machine_value(machine) for machine in done.machines]
    is_up = any(machine.state not in ("failed", "sent") for machine in done.machines)
    value = {"up": is_up or done.was_up, "machines": machines, "note": done.note}
    print_json({"cluster": call.settings().cluster, **value})


def _machine_value(machine: Raised) -> dict[str, Any]:
    reason, remedy = ("", "") if machine.error is None else _reason(machine.error)
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
        "notes": list(machine.notes),
        "error": reason,
        "error_kind": "" if machine.error is None else str(machine.error.data.get("kind") or ""),
        "remedy": remedy,
    }


def _reason(error: CoveyError) -> tuple[str, str]:
    reason, remedy = explained(error)
    return printable(reason), printable(remedy)


def _span(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} … {names[-1]}"
