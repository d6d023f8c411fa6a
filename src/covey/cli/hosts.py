"""`covey hosts`: the machines that a command would use, and what is wrong in a list of them."""

from collections.abc import Sequence
from typing import Any

import click

from covey.cli.call import Call, command, hosts_file_option, limit_option
from covey.cli.offer import host_names
from covey.cli.output import Column, counted, note, print_json, print_table, printable, say
from covey.errors import InventoryError, UsageError
from covey.fleet.host import Host
from covey.fleet.inventory import Inventory, check_files, read_inventory
from covey.fleet.listing import Problem

#: Exit code of a list with a bad line: as a wrong command line has.
_BAD_LIST = 2

_ACTIONS = (("list",), ("check",))
_COLUMNS = (
    Column("MACHINE"),
    Column("LOGIN"),
    Column("SLOTS", right=True),
    Column("GROUPS"),
    Column("FROM"),
)


@command(
    "hosts",
    examples="""covey hosts
covey hosts list -H hosts.txt --limit '@pis'
covey hosts check
covey hosts check hosts.txt inventory.yml""",
)
@click.argument("words", nargs=-1, metavar="[list|check] [HOST|FILE]...", shell_complete=host_names)
@hosts_file_option
@limit_option
def hosts(call: Call, words: Sequence[str], hosts_files: Sequence[str], limit: str) -> int:
    """List the machines that would be used, or check lists of machines.

    `list` shows what the HOSTs and -H FILEs name; without any, what COVEY_HOSTS, ./covey.toml or
    the user's covey/config.toml name: the first of them that names machines. Nothing is connected
    to.

    `check` explains every bad line of the FILEs (without any: of what `list` reads) and ends with 2
    if there is one.
    """
    action, words = (words[0], words[1:]) if words[:1] in _ACTIONS else ("list", words)
    if action == "check":
        if limit:
            raise UsageError("check looks at every line: it takes no --limit")
        return _check(call, [*words, *hosts_files])
    found = read_inventory(words, hosts_files).limited(limit)
    if call.as_json:
        print_json(
            {
                "source": found.source,
                "machines": [_row(host) for host in found.hosts],
                "notes": [_told(one) for one in found.notes],
            }
        )
        return 0
    if not found.hosts:
        raise UsageError(
            "no machine is named — give HOSTs, -H FILE, COVEY_HOSTS or a covey.toml"
            " (docs/how-to/list-your-machines.md)"
        )
    print_table(_COLUMNS, [_cells(host) for host in found.hosts])
    for one in found.notes:
        note(f"covey: {printable(str(one))}")
    return 0


def _check(call: Call, files: Sequence[str]) -> int:
    """Every problem, and the exit code."""
    problems: tuple[Problem, ...] = ()
    found = Inventory(())
    try:
        found = check_files(files) if files else read_inventory()
    except InventoryError as error:
        problems = error.data["problems"]
    if call.as_json:
        print_json(
            {
                "ok": not problems,
                "source": found.source,
                "machines": len(found.hosts),
                "problems": [_told(one) for one in problems],
                "notes": [_told(one) for one in found.notes],
            }
        )
        return _BAD_LIST if problems else 0
    for one in problems:
        say(printable(str(one)))
    for one in found.notes:
        say(f"{printable(str(one))} (no problem)")
    if problems:
        note(f"covey: {counted(len(problems), 'problem')}")
        return _BAD_LIST
    if not found.hosts:
        raise UsageError("nothing names a machine — give the FILE: covey hosts check hosts.txt")
    say(f"{printable(found.source)}: {counted(len(found.hosts), 'machine')}, all lines are good")
    return 0


def _cells(host: Host) -> list[str]:
    return [host.name, host.login, host.slots or "-", " ".join(host.labels) or "-", host.where]


def _row(host: Host) -> dict[str, Any]:
    return {
        "name": host.name,
        "address": host.address,
        "user": host.user,
        "port": host.port,
        "slots": host.slots,
        "groups": list(host.labels),
        "weight": host.weight,
        "python": host.python,
        "workdir": host.workdir,
        "packages": list(host.packages),
        "from": host.where,
    }


def _told(one: Problem) -> dict[str, Any]:
    return {"file": one.place.source, "line": one.place.line, "reason": one.reason}
